package api

import (
	"bytes"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grapnel/internal/hook"
)

// A null member of a PATCH removes the value, if a webhook need not have it (RFC 7396). Otherwise null is refused:
// treated as absent, it would change nothing without telling the client. Commenda's surface, which tolerates more,
// treats null as absent.

// UnmarshalJSON also notes which members are null.
func (r *updateWebhookRequest) UnmarshalJSON(b []byte) error {
	type plain updateWebhookRequest // without this method
	if err := json.Unmarshal(b, (*plain)(r)); err != nil {
		return err
	}
	r.nulls = nullMembers(b)
	return nil
}

// nullMembers returns the names of the members of an object that are null.
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
		member := name.String() // the next read may overwrite it
		if dec.PeekKind() == 'n' {
			names = append(names, member)
		}
		if dec.SkipValue() != nil {
			return names
		}
	}
	return names
}

// takeAway removes the named values from a webhook, and refuses names of values that a webhook must have.
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
			wrong = append(wrong, notNull(name))
		}
	}
	return wrong
}

// notNull returns the violation of a member that is null and must not be.
func notNull(name string) hook.Violation {
	return hook.Violation{Location: "body." + name, Message: "must not be null; leave it out to keep what there is"}
}
