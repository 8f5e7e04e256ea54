package api

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grapnel/internal/hook"
)

// A member of a PATCH that is null takes away what it names, where there can be none of it (RFC
// 7396); elsewhere it is refused. Read as if it were absent, it would change nothing and
// say so to nobody. On Commenda's surface, which tolerates more, null is as good as nothing.

// UnmarshalJSON also notes the members that are null.
func (r *updateWebhookRequest) UnmarshalJSON(b []byte) error {
	type plain updateWebhookRequest // without this method
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	r.nulls = nullMembers(b)
	return nil
}

// nullMembers are the members of an object that are null, each once.
func nullMembers(object []byte) (names []string) {
	dec := jsontext.NewDecoder(bytes.NewReader(object), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != '{' {
		return nil
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return names
		}
		member := name.String() // the next read may write over it
		if dec.PeekKind() == 'n' {
			names = append(names, member)
		}
		if dec.SkipValue() != nil {
			return names
		}
	}
	return names
}

// takeAway takes from the webhook what it need not have.
func takeAway(w *hook.Webhook, nulls []string) (wrong []hook.Violation) {
	for _, name := range nulls {
		switch name {
		case "description":
			w.Description = ""
		case "headers":
			w.Headers = nil
		case "rate_limit":
			w.RateLimit = 0
		case "trace_context":
			w.TraceContext = false
		default:
			wrong = append(wrong, hook.Violation{Location: "body." + name, Message: "must not be null; leave it out to keep what there is"})
		}
	}
	return wrong
}
