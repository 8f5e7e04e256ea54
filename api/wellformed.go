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

// wellFormed returns a middleware that refuses what net/http and Huma would ignore: a query that can't be decoded, a
// parameter that is empty or given twice, a header given twice that can only have one value, and a body that is not
// declared as JSON. Each of them would silently stand for something else, such as the first page (S2).
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
		// The answer is JSON whatever the client would accept. An operation with another format reads the header from
		// the context.
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

// checkContentType accepts any spelling of the media type of JSON, and a body without a type. Huma compares the type
// literally, so the header is normalized.
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

// checkNamedType is checkContentType that also requires a type. A browser lets every page send a body without a type,
// but asks the server first before it sends JSON (CORS).
func checkNamedType(r *http.Request) error {
	if r.Header.Get("Content-Type") == "" && r.ContentLength != 0 {
		return &hook.Error{Kind: hook.KindMediaType, Message: sendJSON}
	}
	return checkContentType(r)
}

// formType is the media type that curl sends by default.
const formType = "application/x-www-form-urlencoded"

const sendJSON = "send the body as JSON, with the header Content-Type: " + jsonType

// acceptKey is the context key of a request's Accept header.
type acceptKey struct{}

// headKey is the context key that marks a HEAD request.
type headKey struct{}

// checkTextType accepts every textual media type, and a body without a type. The operation takes the body as it is.
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

// isText reports whether a media type is textual; curl's default for forms is one of them (M5).
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
