package explain

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// ofStatus explains an answer whose status is neither 2xx nor 3xx.
func ofStatus(a *hook.Attempt) Explanation {
	switch a.StatusCode {
	case http.StatusRequestEntityTooLarge:
		return tooLarge(a)
	case http.StatusTooManyRequests:
		return overloaded(a, "The receiver answered 429 Too Many Requests: it gets more requests than it accepts.",
			"Set the webhook's rate_limit to what the receiver accepts, or raise the receiver's limit.")
	case http.StatusServiceUnavailable:
		return overloaded(a, "The receiver answered 503 Service Unavailable: it, or what it depends on, is overloaded or under maintenance.",
			"Bring the receiver back. Deliveries that failed for good can be replayed.")
	}
	if e, ok := statuses()[a.StatusCode]; ok {
		return Explanation{"The receiver answered " + statusText(a.StatusCode) + ": " + e.Summary, e.NextStep}
	}
	answered := "The receiver answered " + statusText(a.StatusCode)
	switch a.StatusCode / 100 {
	case 4:
		return Explanation{answered + ": it does not accept the request.", "Look at the body of the answer and into the receiver's log for the reason."}
	case 5:
		return Explanation{answered + ": an error within the receiver.", "Look into the receiver's log at the time of the attempt."}
	default:
		return Explanation{answered + ". Only a status from 200 to 299 counts as received.", "Answer 200 or 204 as soon as the event is stored."}
	}
}

// statuses has, by status, what follows "The receiver answered …: " and the next step.
func statuses() map[int]Explanation {
	return map[int]Explanation{
		http.StatusBadRequest: {
			"it can't read the request, or refuses what is in it.",
			"Look at the body of the answer. Many receivers answer so if the signature does not verify: diagnose the delivery.",
		},
		http.StatusUnauthorized: {
			"it refuses our request because it does not know who sends it.",
			"Check that the receiver has this webhook's current secret, and the webhook's custom header Authorization if the receiver wants one. If the signature is refused, diagnose the delivery.",
		},
		http.StatusPaymentRequired: {
			"its provider asks for a payment.",
			"Check the account at the provider of the receiver's hosting.",
		},
		http.StatusForbidden: {
			"it knows the request, and does not allow it.",
			"Look for a firewall, a bot protection or an allow list before the receiver; a CSRF protection must leave out the webhook's path. If the receiver refuses the signature so, diagnose the delivery.",
		},
		http.StatusNotFound: {
			"it has nothing at the URL's path.",
			"Check the path in the webhook's URL, and that the receiver's newest version is deployed.",
		},
		http.StatusMethodNotAllowed: {
			"the URL's path does not accept POST.",
			"Accept POST at this path, or correct the path in the webhook's URL.",
		},
		http.StatusNotAcceptable: {
			"it has no answer in a form that it thinks is wanted.",
			"Answer without regard to the request's header Accept.",
		},
		http.StatusProxyAuthRequired: {
			"a proxy before it wants credentials.",
			"Let requests to the webhook's path through the proxy without credentials.",
		},
		http.StatusRequestTimeout: {
			"it waited too long for the request.",
			"Look for a slow proxy before the receiver, and for the receiver's time-out of reading.",
		},
		http.StatusConflict: {
			"the request is in conflict with what it has.",
			"If it has the event already, answer 200: the same event may arrive more than once.",
		},
		http.StatusGone: {
			"it wants no more events. That disables the webhook, unless the request was a test.",
			"If that was not meant, stop answering 410 and set the webhook's active to true.",
		},
		http.StatusLengthRequired: {
			"it misses a Content-Length, which every request carries.",
			"Look for a proxy before the receiver that removes the header.",
		},
		http.StatusUnsupportedMediaType: {
			"it does not accept the Content-Type application/json.",
			"Accept application/json at the webhook's path.",
		},
		http.StatusMisdirectedRequest: {
			"it does not serve this host name on this connection.",
			"Check the host name in the webhook's URL and the names that the server, or the proxy before it, is configured for.",
		},
		http.StatusUnprocessableEntity: {
			"it understands the request, and refuses what is in it.",
			"Look at the body of the answer for the member that it refuses.",
		},
		http.StatusRequestHeaderFieldsTooLarge: {
			"the headers of the request are too large for it.",
			"Shorten the webhook's custom headers, or raise the receiver's limit.",
		},
		http.StatusInternalServerError: {
			"an error within the receiver.",
			"Look into the receiver's log at the time of the attempt.",
		},
		http.StatusNotImplemented: {
			"it does not support the request.",
			"Check the URL, and that the server accepts POST.",
		},
		http.StatusBadGateway: {
			"the proxy before it got no valid answer from it.",
			"Check that the receiver runs behind its proxy, and look for crashes at the time of the attempt.",
		},
		http.StatusGatewayTimeout: {
			"the proxy before it waited too long for its answer.",
			"Store the event, answer at once, and do the work afterwards.",
		},
	}
}

// tooLarge explains a 413, with the body's size if the log has it.
func tooLarge(a *hook.Attempt) Explanation {
	of := "the body"
	if size := first(a.RequestHeaders, "Content-Length"); size != "" {
		of += " of " + size + " bytes"
	}
	return Explanation{
		"The receiver answered 413 Request Entity Too Large: " + of + " is too large for it.",
		"Raise the limit on bodies of the receiver, its framework and the proxy before it (nginx: client_max_body_size), or publish less data.",
	}
}

// overloaded explains an answer with which a receiver may ask for a pause.
func overloaded(a *hook.Attempt, summary, next string) Explanation {
	pause := a.RetryAfter
	if pause == 0 {
		// The log has the header, and not what was made of it.
		if d, err := time.ParseDuration(first(a.ResponseHeaders, "Retry-After") + "s"); err == nil && d > 0 {
			pause = d
		}
	}
	if pause > 0 {
		summary += fmt.Sprintf(" It asks for a pause of %s.", duration(pause))
	}
	return Explanation{summary, next}
}

// first returns the first value of a header, whatever the case of its name.
func first(h http.Header, name string) string {
	for key, values := range h {
		if strings.EqualFold(key, name) && len(values) > 0 {
			return values[0]
		}
	}
	return ""
}
