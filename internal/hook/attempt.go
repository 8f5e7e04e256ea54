package hook

import (
	"fmt"
	"net/http"
	"time"
)

// ErrorClass is the class of a failed attempt. The set is closed. The type of the error determines it, never the
// error's text.
type ErrorClass string

// The classes of failed attempts.
const (
	ClassNone        ErrorClass = ""
	ClassStatus      ErrorClass = "status"      // an answer that is not 2xx
	ClassRedirect    ErrorClass = "redirect"    // 3xx, never followed
	ClassTimeout     ErrorClass = "timeout"     // no status line within the timeout
	ClassRefused     ErrorClass = "refused"     // nothing listens
	ClassReset       ErrorClass = "reset"       // the connection broke
	ClassUnreachable ErrorClass = "unreachable" // no route to the host
	ClassDNS         ErrorClass = "dns"         // the name does not resolve
	ClassTLS         ErrorClass = "tls"         // chain, host name or handshake
	ClassBlocked     ErrorClass = "blocked"     // the destination is not allowed
	ClassTooLarge    ErrorClass = "too_large"   // response headers over the limit
	ClassProtocol    ErrorClass = "protocol"    // the answer is not HTTP
	ClassOther       ErrorClass = "other"
)

// Timings are the durations of the parts of an attempt. A part that did not occur is zero, as DNS and connect are on a
// kept connection.
type Timings struct {
	DNS       time.Duration
	Connect   time.Duration
	TLS       time.Duration
	FirstByte time.Duration // from the start to the first byte of the answer
}

// Attempt is one HTTP request of a delivery, with its outcome (S13).
type Attempt struct {
	// ID is random, and the same however often recording is tried. So the attempt is recorded once.
	ID         [16]byte
	DeliveryID DeliveryID
	// Number counts all attempts of the delivery from 1.
	Number int
	// Manual marks an attempt by hand, outside the schedule.
	Manual    bool
	URL       string
	StartedAt time.Time
	Duration  time.Duration
	Timings   Timings
	// RemoteAddr is the address that was dialled; empty if none was.
	RemoteAddr string
	// RequestHeaders show signatures; values of custom headers are redacted.
	RequestHeaders  http.Header
	StatusCode      int
	ResponseHeaders http.Header
	// ResponseBody is the first MaxResponseBody bytes.
	ResponseBody []byte
	// ResponseTruncated says that the answer's body is longer than ResponseBody, or broke off there.
	ResponseTruncated bool
	// ResponseLength is the length of the answer's whole body in bytes, as received or as the receiver announced it;
	// nil if it is not known.
	ResponseLength *int64
	Class          ErrorClass
	Error          string
	// RetryAfter is the delay that the receiver asked for on a 429 or 503; 0 if it asked for none.
	RetryAfter time.Duration
}

// MaxResponseBody is how much of an answer's body is logged (spec 1).
const MaxResponseBody = 16 << 10

// Succeeded reports whether the answer was a 2xx.
func (a *Attempt) Succeeded() bool { return a.Class == ClassNone }

// StatusFailure returns the class and the text of a failure for an answer's status; ClassNone for a 2xx.
func StatusFailure(status int) (ErrorClass, string) {
	if status >= 200 && status < 300 {
		return ClassNone, ""
	}
	text := fmt.Sprintf("HTTP %d", status)
	if name := http.StatusText(status); name != "" {
		text += " " + name
	}
	switch {
	case status >= 300 && status < 400:
		return ClassRedirect, text
	default:
		return ClassStatus, text
	}
}
