package hook

import (
	"net/http"
	"time"
)

// Request is the HTTP request of one attempt: a POST of Body to URL.
type Request struct {
	URL string
	// Header is sent unchanged: on HTTP/1.1, names that are not in canonical form stay as they are.
	Header http.Header
	Body   []byte
	// Timeout bounds the whole attempt: DNS, connect, TLS, headers and body.
	Timeout time.Duration
}
