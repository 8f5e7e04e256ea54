package api

import (
	"maps"
	"slices"
	"strings"

	"grapnel/internal/clip"
	"grapnel/internal/hook"
)

// The values of custom headers are credentials for one receiver. They go nowhere else,
// and no answer shows them.

// headersAt is where custom headers are in a request.
const headersAt = "body.headers"

// shownValues are those headers whose value is what answers show in place of every value:
// a client has sent back what it read, and would send *** to the receiver.
func shownValues(headers map[string]string) (wrong []hook.Violation) {
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if headers[name] == hook.Secret("").String() {
			wrong = append(wrong, hook.Violation{
				Location: headersAt + "." + clip.Text(name, longestValue), Message: "must be the value itself: *** stands for a value that is not shown",
			})
		}
	}
	return wrong
}

// movedHeaders is what is wrong with moving a webhook that was at the URL before to
// another scheme, host or port: the values of its headers were meant for the one before.
// place is what is named as wrong, and anew how to give them.
func (a *API) movedHeaders(w *hook.Webhook, before, place, anew string) []hook.Violation {
	if len(w.Headers) == 0 || w.URLProblem() != "" {
		return nil
	}
	// What was stored by an older version need not be canonical.
	before = a.Destinations.CanonicalURL(before)
	if hook.SameOrigin(before, a.Destinations.CanonicalURL(w.URL)) {
		return nil
	}
	names := strings.Join(slices.Sorted(maps.Keys(w.Headers)), ", ")
	return []hook.Violation{{Location: place, Message: "the values of the headers " + names + " were given for " + hook.Origin(before) + ": " + anew}}
}

// How to give headers anew.
const (
	headersAnew     = "give headers anew with the url; {} removes them"
	headersAnewByV1 = "PATCH /v1/webhooks/{id} with url and headers; {} removes them"
)

func secretHeaders(headers map[string]string) map[string]hook.Secret {
	out := make(map[string]hook.Secret, len(headers))
	for name, value := range headers {
		out[name] = hook.Secret(value)
	}
	return out
}
