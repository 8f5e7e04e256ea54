package hook

import (
	"net/http"
	"time"
)

// Request is one attempt about to be sent: a POST of Body to URL.
type Request struct {
	URL string
	// Header is sent as it is; names not in canonical form stay so on HTTP/1.1.
	Header http.Header
	Body   []byte
	// Timeout bounds the whole attempt: DNS, connect, TLS, headers and body.
	Timeout time.Duration
}
