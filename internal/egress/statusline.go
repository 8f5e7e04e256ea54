package egress

import (
	"bytes"
	"strconv"
	"sync"
)

// maxStatusLine is how many bytes of a line are kept to find a status in it.
const maxStatusLine = 64

// statusLine reads the status line of an HTTP/1 answer from the bytes as they arrive
// (RFC 9112, 4). net/http reports no status if a later header is malformed or
// stalls; but the status line decides (spec 1). Informational answers are
// skipped. The zero value is ready for an answer.
type statusLine struct {
	mu sync.Mutex
	// line is the beginning of the current line.
	line []byte
	// inHeaders reports whether the lines are an informational answer's headers.
	inHeaders bool
	// over reports whether the search has ended.
	over bool
	code int
}

// expect resets s for the next answer.
func (s *statusLine) expect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.line, s.inHeaders, s.over, s.code = s.line[:0], false, false, 0
}

// status returns the final answer's status code; 0 until there is one.
func (s *statusLine) status() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.code
}

// feed processes the next bytes.
func (s *statusLine) feed(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 && !s.over {
		end := bytes.IndexByte(p, '\n')
		part := p
		if end >= 0 {
			part, p = p[:end], p[end+1:]
		} else {
			p = nil
		}
		s.line = append(s.line, part[:min(len(part), maxStatusLine-len(s.line))]...)
		if end >= 0 {
			s.ended(bytes.TrimSuffix(s.line, []byte("\r")))
			s.line = s.line[:0]
		}
	}
}

// ended processes a whole line.
func (s *statusLine) ended(line []byte) {
	if s.inHeaders {
		s.inHeaders = len(line) > 0
		return
	}
	code := statusOf(line)
	// 101 is the last answer of HTTP on its connection.
	s.inHeaders = code >= 100 && code < 200 && code != 101
	if s.over = !s.inHeaders; s.over {
		s.code = code
	}
}

// statusOf returns the code of a status line; 0 if line is not a status line.
func statusOf(line []byte) int {
	version, rest, _ := bytes.Cut(line, []byte(" "))
	if !bytes.Equal(version, []byte("HTTP/1.1")) && !bytes.Equal(version, []byte("HTTP/1.0")) {
		return 0
	}
	digits, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	code, err := strconv.Atoi(string(digits))
	if err != nil || len(digits) != 3 || code < 100 {
		return 0
	}
	return code
}
