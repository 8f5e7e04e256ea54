package explain

import (
	"strings"
	"time"

	"grapnel/internal/hook"
)

// ofTimeout explains a time-out by the part of the attempt in which the time ran out.
func ofTimeout(a *hook.Attempt) Explanation {
	within := ""
	if a.Duration > 0 {
		within = " within " + duration(a.Duration)
	}
	switch phaseOf(a) {
	case phaseDNS:
		return Explanation{
			"The host name of the webhook's URL was not resolved" + within + ".",
			"Check the name servers of the receiver's domain: one of them does not answer.",
		}
	case phaseConnect:
		return Explanation{
			"The receiver's host accepted no connection" + within + ".",
			"Check that the host is up, and that its firewall lets this service's addresses through: a firewall that drops packets looks so.",
		}
	case phaseTLS:
		return Explanation{
			"The TLS handshake with the receiver did not end" + within + ".",
			"Check that the port speaks TLS, and that the server, or the proxy before it, is not overloaded.",
		}
	case phaseAnswer:
		return Explanation{
			"The receiver got the request and did not answer" + within + ".",
			"Store the event, answer 200 at once, and do the work afterwards; or raise the webhook's timeout_seconds, at most 30.",
		}
	case phaseUnknown:
	}
	if within == "" {
		within = " within the webhook's time-out"
	}
	return Explanation{
		"There was no answer" + within + ".",
		"Look at the timings of the attempts: they show whether the connection or the answer took too long. A receiver should answer at once and do the work afterwards.",
	}
}

// phase is a part of an attempt.
type phase int

const (
	phaseUnknown phase = iota
	phaseDNS
	phaseConnect
	phaseTLS
	phaseAnswer
)

// phaseOf returns the part of an attempt that had not ended when the attempt did. A part that has not ended lasts until
// the attempt's end.
func phaseOf(a *hook.Attempt) phase {
	t := a.Timings
	if a.Duration == 0 {
		return phaseUnknown
	}
	// The parts are measured by themselves, so their sum is a little less than the whole.
	const slack = 20 // a twentieth
	lasted := func(sum time.Duration) bool { return sum >= a.Duration-a.Duration/slack }
	switch {
	case t.DNS == 0 && t.Connect == 0 && t.TLS == 0:
		if a.RemoteAddr == "" {
			return phaseUnknown
		}
		return phaseAnswer // on a kept connection
	case t.TLS > 0 && lasted(t.DNS+t.Connect+t.TLS):
		return phaseTLS
	case t.TLS == 0 && t.Connect > 0 && lasted(t.DNS+t.Connect):
		return phaseConnect
	case t.TLS == 0 && t.Connect == 0:
		return phaseDNS
	default:
		return phaseAnswer
	}
}

// certificate begins the errors of certificates that were refused.
const certificate = hook.TextCertificate + ": "

// ofTLS explains a failure of TLS by the error's text, which egress has made from the error's type.
func ofTLS(text string) Explanation {
	if problem, ok := strings.CutPrefix(text, certificate); ok {
		return ofCertificate(problem)
	}
	_, cause, _ := strings.Cut(text, ": ")
	switch {
	case cause == "":
		return Explanation{
			"The TLS handshake with the receiver failed.",
			"Check that the server supports TLS 1.2 or 1.3, and look into its log for the reason.",
		}
	case strings.Contains(cause, "plain HTTP"):
		return Explanation{
			"The port of the webhook's URL speaks plain HTTP, and the URL begins with https.",
			"Use the port of HTTPS in the webhook's URL, usually 443, or enable TLS on this port.",
		}
	case strings.Contains(cause, "does not speak TLS"):
		return Explanation{
			"The port of the webhook's URL does not speak TLS.",
			"Check the port in the webhook's URL: another program listens there.",
		}
	case strings.Contains(cause, "client certificate"):
		return Explanation{
			"The receiver wants a client certificate, and webhooks have none.",
			"Let the webhook's path through without a client certificate, and verify the signature instead.",
		}
	case strings.Contains(cause, "version"):
		return Explanation{
			"The receiver supports no version of TLS that is still secure: " + cause + ".",
			"Enable TLS 1.2 or 1.3 on the server or the proxy before it.",
		}
	case strings.Contains(cause, "unrecognized name"):
		return Explanation{
			"The server does not know the host name of the webhook's URL.",
			"Check the host name in the webhook's URL and the names that the server, or the proxy before it, is configured for.",
		}
	default:
		return Explanation{
			"The TLS handshake with the receiver failed: " + cause + ".",
			"Check the TLS settings of the server: it needs TLS 1.2 or 1.3 with a common cipher. Its log has the reason.",
		}
	}
}

// ofCertificate explains why a certificate was refused.
func ofCertificate(problem string) Explanation {
	// The date follows in parentheses; errors of earlier versions have none.
	what, date, dated := strings.Cut(strings.TrimSuffix(problem, ")"), " (")
	on := func(before string) string {
		if dated {
			return before + date
		}
		return ""
	}
	switch {
	case strings.Contains(what, "has expired"):
		return Explanation{
			"The receiver's certificate has expired" + on(" on ") + ".",
			"Renew the certificate, and reload the server that uses it. If it was renewed, one of the servers behind the name still has the old one.",
		}
	case strings.Contains(what, "not valid yet"):
		return Explanation{
			"The receiver's certificate is not valid yet" + on(": only from ") + ".",
			"Use a certificate that is valid now, or correct the clock of the machine that issued it.",
		}
	case strings.Contains(what, "is not valid for"):
		return Explanation{
			"The receiver's " + problem + ", the host name of the webhook's URL.",
			"Use a certificate with this name, or the name that the certificate has in the webhook's URL.",
		}
	case strings.Contains(what, "unknown authority"):
		return Explanation{
			"The receiver's certificate is signed by an authority that is not trusted: it is self-signed, or the intermediate certificate is missing.",
			"Install a certificate of a public authority, and send the whole chain (fullchain.pem, not cert.pem).",
		}
	default:
		return Explanation{
			"The receiver's " + problem + ".",
			"Install a new certificate of a public authority, with its whole chain.",
		}
	}
}
