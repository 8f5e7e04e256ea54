package api

import (
	"mime"
	"net/http"
	"net/url"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
)

// wellFormed refuses what net/http and Huma would read past: a query that can't
// be decoded, a parameter that is empty or given twice, a header given twice
// that can mean one thing only, a body that is not called JSON. Each of them
// would otherwise silently stand for something else, page one for instance (S2).
func (a *API) wellFormed(body bool) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, _ := humago.Unwrap(ctx)
		r.Header.Del("Accept") // the answer is JSON whatever the client would accept
		err := checkQuery(r.URL.RawQuery)
		if err == nil {
			err = checkHeaders(r.Header)
		}
		if err == nil && body {
			err = checkContentType(r)
		}
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
	for _, name := range []string{"Authorization", "Content-Type", "Idempotency-Key"} {
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
		return &hook.Error{Kind: hook.KindMediaType, Message: "send the body as " + jsonType}
	}
	r.Header.Set("Content-Type", jsonType)
	return nil
}

func malformed(location, format string, args ...any) error {
	err := hook.Unprocessable(location, format, args...)
	err.Kind, err.Message = hook.KindInvalid, "the request is malformed"
	return err
}
