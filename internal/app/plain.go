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

// net/http itself answers what it can't take for a request (%zz in a path, headers
// over the bound, a transfer coding that it does not know), as text, before any
// handler: it writes one text to the connection, at once. oneFormat makes a problem
// of it (spec 6). Should net/http come to say it otherwise, that answer goes out as
// it is, and a test fails.

// oneFormat is a listener whose connections have that done.
type oneFormat struct{ net.Listener }

func (l oneFormat) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &formatConn{Conn: c}, nil
}

type formatConn struct {
	net.Conn
	framing framing
	// ambiguous says that a request was refused for its framing; instead is then what
	// net/http reads in place of the rest, which makes it refuse the request.
	ambiguous atomic.Bool
	instead   []byte
}

// Read gives net/http what has come up to a request that is to be refused.
func (c *formatConn) Read(b []byte) (int, error) {
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
		c.instead = []byte("\x00\r\n\r\n") // no header
		c.ambiguous.Store(true)
		return good, nil
	}
	return n, err
}

// Write is told that all was written, whatever was.
func (c *formatConn) Write(b []byte) (int, error) {
	other := problemFor(b)
	if other != nil && c.ambiguous.Load() {
		other = refusal(http.StatusBadRequest, "Bad Request: give one of Content-Length and Transfer-Encoding, in one line")
	}
	if other == nil {
		return c.Conn.Write(b)
	}
	if _, err := c.Conn.Write(other); err != nil {
		return 0, err
	}
	return len(b), nil
}

// CloseWrite ends the answer and leaves the reading side open for a moment. net/http asks for
// it before it closes a connection whose request it has not read to its end; without it the client
// gets a reset, and perhaps not the answer.
func (c *formatConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// plainHeaders are exactly the headers of net/http's own refusals. Other answers
// have a Date, and no body of ours begins like a status line.
const plainHeaders = "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n"

// problemFor is the problem to write instead of what net/http says; nil where it
// is no refusal of its own.
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

// refusal is a whole answer.
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
		return nil // text always can be marshaled
	}
	return fmt.Appendf(nil, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, title, len(body), body)
}
