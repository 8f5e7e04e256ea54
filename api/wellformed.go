package api

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
)

// wellFormed refuses what net/http and Huma would read past: a query that can't
// be decoded, a parameter that is empty or given twice, a header given twice
// that can mean one thing only, a body that is not called JSON. Each of them
// would otherwise silently stand for something else, page one for instance (S2).
func (a *API) wellFormed(op *operation, body bool) func(huma.Context, func(huma.Context)) {
	checkType := checkContentType
	switch {
	case op.text:
		checkType = checkTextType
	case strings.HasPrefix(op.path, "/v1/"):
		checkType = checkNamedType
	}
	return func(ctx huma.Context, next func(huma.Context)) {
		r, _ := humago.Unwrap(ctx)
		err := checkQuery(r.URL.RawQuery)
		if err == nil {
			err = checkHeaders(r.Header)
		}
		if err == nil && body {
			err = checkType(r)
		}
		if encoding := r.Header.Get("Content-Encoding"); err == nil && body && encoding != "" && !strings.EqualFold(encoding, "identity") {
			err = &hook.Error{Kind: hook.KindMediaType, Message: "send the body as it is, without a content encoding"}
		}
		// The answer is JSON whatever the client would accept; an operation with
		// another one has its own view of it.
		ctx = huma.WithValue(ctx, acceptKey{}, r.Header.Get("Accept"))
		if r.Method == http.MethodHead {
			ctx = huma.WithValue(ctx, headKey{}, true)
		}
		r.Header.Del("Accept")
		if err != nil {
			a.refuse(ctx, err)
			return
		}
		next(ctx)
	}
}

func checkQuery(raw string) error {
	query, err := url.ParseQuery(raw)
	if err != nil {
		return malformed("query", "can't be decoded")
	}
	names := make([]string, 0, len(query))
	for name := range query {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		switch values := query[name]; {
		case len(values) > 1:
			return malformed("query."+name, "is given %d times", len(values))
		case values[0] == "":
			return malformed("query."+name, "must not be empty; leave it out")
		}
	}
	return nil
}

func checkHeaders(h http.Header) error {
	for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID"} {
		if n := len(h.Values(name)); n > 1 {
			return malformed("header."+name, "is given %d times", n)
		}
	}
	return nil
}

// checkContentType lets JSON through under any spelling of its name, and a body
// without a name; what follows compares the name to the letter.
func checkContentType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	if given == "" || r.ContentLength == 0 {
		r.Header.Del("Content-Type") // no body needs no type (S11)
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(given)
	if err != nil || mediaType != jsonType {
		problem := sendJSON
		if mediaType == formType {
			problem += "; curl -d alone sends " + formType
		}
		return &hook.Error{Kind: hook.KindMediaType, Message: problem}
	}
	r.Header.Set("Content-Type", jsonType)
	return nil
}

// checkNamedType is checkContentType that wants a body named. A browser lets every page
// send one without a name, and asks first for one that is called JSON.
func checkNamedType(r *http.Request) error {
	if r.Header.Get("Content-Type") == "" && r.ContentLength != 0 {
		return &hook.Error{Kind: hook.KindMediaType, Message: sendJSON}
	}
	return checkContentType(r)
}

// formType is what curl calls a body by default.
const formType = "application/x-www-form-urlencoded"

const sendJSON = "send the body as JSON, with the header Content-Type: " + jsonType

// acceptKey is the key of a request's Accept header in its context.
type acceptKey struct{}

// headKey is the key of what says, in a context, that the answer's body is not wanted.
type headKey struct{}

// checkTextType lets every kind of text through, and a body without a type. Huma
// must not look for a format of that name: what follows takes the body as it is.
func checkTextType(r *http.Request) error {
	given := r.Header.Get("Content-Type")
	if given == "" {
		return nil
	}
	mediaType, parameters, err := mime.ParseMediaType(given)
	charset := parameters["charset"]
	switch {
	case err != nil || !isText(mediaType):
		return &hook.Error{Kind: hook.KindMediaType, Message: "send the message as text: text/plain, application/json or another textual type"}
	case charset != "" && !strings.EqualFold(charset, "utf-8") && !strings.EqualFold(charset, "us-ascii"):
		return &hook.Error{Kind: hook.KindMediaType, Message: "send the message in UTF-8"}
	}
	return nil
}

// isText tells the media types whose content is text, curl's default for forms
// among them (M5).
func isText(mediaType string) bool {
	kind, subtype, _ := strings.Cut(mediaType, "/")
	switch {
	case kind == "text":
		return true
	case kind != "application":
		return false
	case slices.Contains([]string{
		"json", "xml", "yaml", "toml", "graphql", "javascript", "ecmascript", "sql", "x-www-form-urlencoded", "x-ndjson", "jsonl",
	}, subtype):
		return true
	}
	return slices.ContainsFunc([]string{"+json", "+xml", "+yaml"}, func(suffix string) bool { return strings.HasSuffix(subtype, suffix) })
}

func malformed(location, format string, args ...any) error {
	err := hook.Unprocessable(location, format, args...)
	err.Kind, err.Message = hook.KindInvalid, "the request is malformed"
	return err
}
