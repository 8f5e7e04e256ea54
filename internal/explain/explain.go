// Package explain says in plain words why a request or a delivery failed, and what to do about it (A4). It is pure: an
// explanation depends only on what is stored. No explanation contains a secret, an address, a header or a part of a
// body; the only texts of the receiver's that it repeats are those that package egress has put into the error.
package explain

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// Explanation says why something failed.
type Explanation struct {
	// Summary is one sentence: what happened.
	Summary string
	// NextStep is what the receiver's owner, or the owner of the webhook, can do.
	NextStep string
}

// Attempt explains a failed attempt; nil if it succeeded.
func Attempt(a *hook.Attempt) *Explanation {
	if a.Succeeded() {
		return nil
	}
	e := ofClass(a)
	return &e
}

// Delivery explains a delivery that failed, was canceled or waits for another attempt after a failure; nil if it
// succeeded or had no attempt yet. The delivery has only the error's text, so the class is found by the text, and less
// is known than about an attempt. last is the delivery's last attempt, which is explained if the delivery's error is its
// error; nil if it is not known.
func Delivery(d *hook.Delivery, last *hook.Attempt) *Explanation {
	if d.State == hook.StateSuccess || d.Error == "" {
		return nil
	}
	if e, ok := endings()[d.Error]; ok {
		return &e
	}
	if last != nil && last.Error == d.Error {
		return Attempt(last)
	}
	class, status := classOf(d.Error)
	return Attempt(&hook.Attempt{Class: class, StatusCode: status, Error: d.Error})
}

// endings explains deliveries that ended without an attempt, or with an outcome that nobody knows, by their error.
func endings() map[string]Explanation {
	return map[string]Explanation{
		hook.TextWebhookDisabled: {
			"The webhook was disabled before the delivery was sent.",
			"Look at the webhook's status_reason, set active to true, then replay the events of that time.",
		},
		hook.TextWebhookDeleted: {
			"The webhook was deleted before the delivery was sent.",
			"Nothing is sent any more. If the receiver still wants the events, create a webhook for it.",
		},
		hook.TextSecretUnavailable: {
			"The signing secret of the webhook could not be decrypted for 24 hours, so nothing was sent.",
			"Ask the operator to restore the encryption key, or rotate the webhook's secret; then retry or replay the delivery.",
		},
		hook.TextDropped: {
			"The sender stopped while it sent the message, so the message may or may not have arrived. It is not sent twice.",
			"Ask the receiver whether it has the message; a retry by hand sends it again.",
		},
		hook.TextUnavailable: {
			"The receiver answered nothing for 24 hours, so the delivery was given up.",
			"Bring the receiver back, send a test to see that it answers, then replay the events of that time.",
		},
		hook.TextReplayCanceled: {
			"The replay that made this delivery was canceled before the delivery was sent.",
			"Start a replay again if the receiver still needs the event.",
		},
		hook.TextTestLost: {
			"The process that was to send the test ended before it did.",
			"Send the test again; nothing else is affected.",
		},
	}
}

func ofClass(a *hook.Attempt) Explanation {
	switch a.Class {
	case hook.ClassStatus:
		return ofStatus(a)
	case hook.ClassRedirect:
		return Explanation{
			fmt.Sprintf("The receiver answered %s, which points to another URL. Redirects are never followed.", statusText(a.StatusCode)),
			"Set the webhook's URL to the final one: look at the header Location of the answer, at http against https, and at a slash at the end.",
		}
	case hook.ClassTimeout:
		return ofTimeout(a)
	case hook.ClassTLS:
		return ofTLS(a.Error)
	case hook.ClassDNS:
		return Explanation{
			"The host name of the webhook's URL does not resolve to an address that may be called.",
			"Check the spelling of the host name and its A and AAAA records in the public DNS. A name that only your own network knows, or one with a private address, can't be called.",
		}
	case hook.ClassBlocked:
		return Explanation{
			"The webhook's URL leads to an address that must not be called, such as a private, loopback or metadata address.",
			"Use a public address. The operator of this service can allow a range of addresses.",
		}
	case hook.ClassRefused:
		return Explanation{
			"The receiver's host refused the connection: no program listens on the port.",
			"Start the receiver, and check the port in the webhook's URL and the firewall before the receiver.",
		}
	case hook.ClassReset:
		return Explanation{
			"The receiver, or a proxy before it, closed the connection before it answered.",
			"Look into the logs of the receiver and its proxy at that time: a crash, a restart, a limit on bodies or a firewall closes connections so.",
		}
	case hook.ClassUnreachable:
		return Explanation{
			"There is no route to the receiver's address.",
			"Check that the host is up and that its DNS records are current: an AAAA record for a host without IPv6 fails so, too.",
		}
	case hook.ClassTooLarge:
		return Explanation{
			"The headers of the receiver's answer are too large.",
			"Answer with few, short headers: a webhook's answer needs no cookies.",
		}
	case hook.ClassProtocol:
		return Explanation{
			"The answer is not valid HTTP" + tail(a.Error) + ".",
			"Check that the port in the webhook's URL is the one of the web server, and that its scheme, http or https, is right.",
		}
	case hook.ClassNone, hook.ClassOther:
	}
	return Explanation{
		"The request failed, for a reason that has no class of its own.",
		"Check the webhook's URL, send a test, and look into the receiver's log; if nothing arrives there, ask the operator of this service.",
	}
}

// tail returns the cause that follows a colon in an error's text, with the colon; empty if there is none.
func tail(text string) string {
	if _, cause, ok := strings.Cut(text, ": "); ok {
		return ": " + cause
	}
	return ""
}

// statusText returns a status with its name, like "503 Service Unavailable".
func statusText(status int) string {
	if name := http.StatusText(status); name != "" {
		return strconv.Itoa(status) + " " + name
	}
	return strconv.Itoa(status)
}

// classOf returns the class, and the status if there is one, of an error's text. Texts of unknown form have ClassOther.
func classOf(text string) (hook.ErrorClass, int) {
	if rest, ok := strings.CutPrefix(text, "HTTP "); ok {
		digits, _, _ := strings.Cut(rest, " ")
		if status, err := strconv.Atoi(digits); err == nil {
			class, _ := hook.StatusFailure(status)
			return class, status
		}
	}
	beginning, _, _ := strings.Cut(text, ": ")
	class, ok := hook.ErrorTexts()[beginning]
	if !ok {
		class = hook.ClassOther
	}
	return class, 0
}

// duration writes a duration for people: 15 s, 250 ms.
func duration(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
}
