package api

import (
	"maps"
	"slices"
	"strings"

	"grapnel/internal/clip"
	"grapnel/internal/hook"
)

// The values of custom headers are credentials for one receiver. They are sent nowhere else, and no answer shows them.

// headersAt is the location of custom headers in a request.
const headersAt = "body.headers"

// shownValues refuses headers whose value is the *** that answers show for every value: the client sends back what it
// read, and the receiver would get ***.
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

// headersAnew states how a request gives custom headers again: the location to name as wrong, and what to do.
type headersAnew struct{ location, advice string }

// headersInRequest is for requests that have headers of their own.
func headersInRequest() headersAnew {
	return headersAnew{headersAt, "give headers anew with the url; {} removes them"}
}

// headersByPatch is for the other surfaces, whose requests have no headers. location is where they have the URL.
func headersByPatch(location string) headersAnew {
	return headersAnew{location, "PATCH /v1/webhooks/{id} with url and headers; {} removes them"}
}

// movedHeaders refuses to move a webhook with custom headers from the URL before to another scheme, host or port: the
// values of its headers were meant for the receiver there.
func (a *API) movedHeaders(w *hook.Webhook, before string, anew headersAnew) []hook.Violation {
	if len(w.Headers) == 0 || w.URLProblem() != "" {
		return nil
	}
	// A URL that an older version stored need not be canonical.
	before = a.Destinations.CanonicalURL(before)
	if hook.SameOrigin(before, a.Destinations.CanonicalURL(w.URL)) {
		return nil
	}
	names := strings.Join(slices.Sorted(maps.Keys(w.Headers)), ", ")
	message := "the values of the headers " + names + " were given for " + hook.Origin(before) + ": " + anew.advice
	return []hook.Violation{{Location: anew.location, Message: message}}
}

func secretHeaders(headers map[string]string) map[string]hook.Secret {
	out := make(map[string]hook.Secret, len(headers))
	for name, value := range headers {
		out[name] = hook.Secret(value)
	}
	return out
}
