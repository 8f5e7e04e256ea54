package payload

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"grapnel/internal/hook"
)

// leastEcho is the minimum length in bytes of a value that is redacted in an answer. Shorter values are no credentials,
// and redacting them would blank ordinary words.
const leastEcho = 6

// leastCut is how many bytes of such a value must be at the end of a truncated body for that end to be redacted.
const leastCut = 4

// blank replaces redacted text.
const blank = "***"

// RedactEchoes redacts the webhook's secrets in the answer of its receiver: the values of its custom headers, the
// credentials in them, and its signing secrets, literally and as JSON and forms encode them. Some receivers echo the
// whole request, and readers of the delivery log may not see these values.
func RedactEchoes(w *hook.Webhook, a *hook.Attempt) {
	if a.StatusCode == 0 {
		return
	}
	cut := len(a.ResponseBody) >= hook.MaxResponseBody
	var headers http.Header
	for _, echo := range echoes(w) {
		a.ResponseBody = blankIn(a.ResponseBody, echo, cut)
		for name, values := range a.ResponseHeaders {
			for i, value := range values {
				if !strings.Contains(value, echo) {
					continue
				}
				if headers == nil {
					headers = a.ResponseHeaders.Clone()
				}
				headers[name][i] = strings.ReplaceAll(headers[name][i], echo, blank)
			}
		}
	}
	if headers != nil {
		a.ResponseHeaders = headers
	}
}

// blankIn redacts a secret in a body. If the body was truncated, it also redacts the beginning of the secret at its
// end.
func blankIn(body []byte, echo string, cut bool) []byte {
	if bytes.Contains(body, []byte(echo)) {
		body = bytes.ReplaceAll(body, []byte(echo), []byte(blank))
	}
	if !cut {
		return body
	}
	for n := min(len(echo)-1, len(body)); n >= leastCut; n-- {
		if bytes.HasSuffix(body, []byte(echo[:n])) {
			return append(bytes.Clone(body[:len(body)-n]), blank...)
		}
	}
	return body
}

// echoes returns the texts to redact for a webhook, the longest first, because one may contain another.
func echoes(w *hook.Webhook) []string {
	list := append(make([]string, 0, 2+2*len(w.Headers)), w.Secret.Reveal())
	for _, p := range w.Previous {
		list = append(list, p.Secret.Reveal())
	}
	for _, value := range w.Headers {
		list = append(list, value.Reveal())
		if _, credential, ok := strings.Cut(value.Reveal(), " "); ok { // Bearer …, Basic …
			list = append(list, credential)
		}
	}
	list = slices.DeleteFunc(list, func(s string) bool { return len(s) < leastEcho })
	for _, s := range list {
		for _, form := range forms(s) {
			if !slices.Contains(list, form) {
				list = append(list, form)
			}
		}
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return list
}

// forms returns other encodings of a text: in JSON, in JSON as PHP writes it, and in a URL.
func forms(s string) []string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return nil // never: it is a string
	}
	inJSON := string(quoted[1 : len(quoted)-1])
	return []string{inJSON, strings.ReplaceAll(inJSON, "/", `\/`), url.QueryEscape(s), url.PathEscape(s)}
}
