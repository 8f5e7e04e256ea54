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

// leastEcho is the length from which on a custom header's value is blanked where it
// comes back, in bytes: shorter ones are no credentials, and would blank ordinary words.
const leastEcho = 6

// leastCut is how much of such a value must be at the end of a body that was cut.
const leastCut = 4

// blank stands for what is not shown.
const blank = "***"

// RedactEchoes blanks what is secret of the webhook in what its receiver has answered:
// the values of its own headers, the credentials in them, and its signing secrets, as
// they are, and as JSON and forms write them. Some receivers answer with all that they
// got, and who may read the log may not read these.
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

// blankIn blanks a secret in a body, and what is left of it at the end of one that was cut.
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

// echoes are the texts that stand for what is secret of a webhook, the longest first: one
// may be part of another.
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

// forms are other ways to write a text: in JSON, as PHP writes JSON, and in a URL.
func forms(s string) []string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return nil // never: it is text
	}
	inJSON := string(quoted[1 : len(quoted)-1])
	return []string{inJSON, strings.ReplaceAll(inJSON, "/", `\/`), url.QueryEscape(s), url.PathEscape(s)}
}
