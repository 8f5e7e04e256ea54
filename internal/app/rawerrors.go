package app

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// net/http itself refuses invalid requests (%zz in a path, headers over the limit, an unknown
// transfer coding) before any handler: it writes one plain text to the connection, in one
// call. problemListener rewrites that text as application/problem+json (spec 6). If a new
// version of net/http words it differently, the answer goes out unchanged, and a test fails.

// problemListener is a listener whose connections rewrite net/http's plain-text errors as
// problems, and refuse requests with two framings.
type problemListener struct{ net.Listener }

// Accept implements net.Listener.
func (l problemListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &problemConn{Conn: c}, nil
}

type problemConn struct {
	net.Conn
	framing framing
	// ambiguous reports whether a request was refused for its framing. net/http then reads
	// instead in place of the rest of the bytes, which makes it refuse the request.
	ambiguous atomic.Bool
	instead   []byte
}

// Read returns the client's bytes up to a request that must be refused.
func (c *problemConn) Read(b []byte) (int, error) {
	if c.ambiguous.Load() {
		n := copy(b, c.instead)
		if c.instead = c.instead[n:]; n == 0 && len(b) > 0 {
			return 0, io.EOF
		}
		return n, nil
	}
	n, err := c.Conn.Read(b)
	good, ambiguous := c.framing.follow(b[:n])
	if ambiguous {
		c.instead = []byte("\x00\r\n\r\n") // this is not a valid header
		c.ambiguous.Store(true)
		return good, nil
	}
	return n, err
}

// Write writes b, or a problem in its place. It then returns len(b), because net/http expects that.
func (c *problemConn) Write(b []byte) (int, error) {
	problem := problemFor(b)
	if problem != nil && c.ambiguous.Load() {
		problem = refusal(http.StatusBadRequest, "Bad Request: give one of Content-Length and Transfer-Encoding, in one line")
	}
	if problem == nil {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(problem); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite ends the answer and leaves the reading side open for a moment. net/http calls
// it before it closes a connection whose request it has not read to the end. Without it the client
// gets a reset, and may lose the answer.
func (c *problemConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// plainHeaders are exactly the headers of net/http's own refusals. Other answers
// have a Date, and no body of Grapnel begins like a status line.
const plainHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// problemFor returns the problem to write in place of b; nil if b is not one of net/http's own
// refusals.
func problemFor(b []byte) []byte {
	if !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) || len(b) > 512 {
		return nil
	}
	line, _, plain := strings.Cut(string(b), plainHeaders)
	const expectation = "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\n"
	switch {
	case plain:
	case bytes.HasPrefix(b, []byte(expectation)):
		line = "HTTP/1.1 417 Expectation Failed"
	default:
		return nil
	}
	code, detail, _ := strings.Cut(strings.TrimPrefix(line, "HTTP/1.1 "), " ")
	status, err := strconv.Atoi(code)
	if err != nil || status < http.StatusBadRequest {
		return nil
	}
	return refusal(status, detail)
}

// refusal returns a whole answer: status line, headers and problem.
func refusal(status int, detail string) []byte {
	title := http.StatusText(status)
	_, reason, _ := strings.Cut(detail, ": ")
	if reason == "" {
		reason = map[int]string{
			http.StatusBadRequest:                  "the request could not be read; is its path percent-encoded?",
			http.StatusRequestHeaderFieldsTooLarge: "the request's headers are larger than " + strconv.Itoa(maxHeaderBytes) + " bytes",
			http.StatusExpectationFailed:           "of expectations only 100-continue is met",
			http.StatusNotImplemented:              "of transfer codings only chunked is known",
		}[status]
	}
	code := "INVALID_ARGUMENT"
	if status == http.StatusRequestHeaderFieldsTooLarge {
		code = "PAYLOAD_TOO_LARGE"
	}
	body, err := json.Marshal(struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Code   string `json:"code"`
		Detail string `json:"detail,omitempty"`
	}{"about:blank", title, status, code, reason})
	if err != nil {
		return nil // text can always be encoded
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, title, len(body), body)
}
