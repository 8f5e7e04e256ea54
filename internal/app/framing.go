package app

import (
	"bytes"
	"strings"
)

// A request with both Content-Length and Transfer-Encoding can smuggle a second request, if a
// proxy uses one header and the server the other (RFC 9112, 6.3). net/http uses
// Transfer-Encoding, as it must, and removes Content-Length before a handler sees the request.
// So such a request is refused before net/http has read it: framing follows the bytes that a
// client sends, from header section to header section.

// framing is the position in a connection's bytes. Its zero value is the beginning.
type framing struct {
	state framingState
	// line is the part of the current line that has been read, up to longestLine bytes.
	line []byte
	// left is the number of bytes of a body, or of a chunk, still to come.
	left int64
	// section describes the header section that is being read.
	section section
}

type framingState int

const (
	inSection framingState = iota // the request line and the headers
	inBody                        // left bytes of a body
	atChunk                       // the line with the size of a chunk
	inChunk                       // left bytes of a chunk, including its line end
	inTrailer                     // the lines after the last chunk
	lost                          // net/http refuses the request; further bytes are not examined
)

type section struct {
	coded, measured bool
	length          int64
	// framed reports whether the last line was one of the two headers, which must not continue on
	// the next line.
	framed bool
}

// longestLine is longer than any line that is examined, in bytes.
const longestLine = 256

// follow examines the next bytes. If it returns ambiguous, the request must be refused, and net/http may
// read only the first good bytes.
func (f *framing) follow(b []byte) (good int, ambiguous bool) {
	rest := b
	for len(rest) > 0 && f.state != lost {
		if f.state == inBody || f.state == inChunk {
			n := min(int64(len(rest)), f.left)
			f.left -= n
			rest = rest[n:]
			if f.left == 0 {
				f.state = map[framingState]framingState{inBody: inSection, inChunk: atChunk}[f.state]
			}
			continue
		}
		end := bytes.IndexByte(rest, '\n')
		part := rest
		if end >= 0 {
			part = rest[:end]
		}
		f.line = append(f.line, part[:min(len(part), longestLine-len(f.line))]...)
		if end < 0 {
			break
		}
		rest = rest[end+1:]
		ambiguous = f.ended(bytes.TrimSuffix(f.line, []byte{'\r'}))
		f.line = f.line[:0]
		if ambiguous {
			return len(b) - len(rest), true
		}
	}
	return len(b), false
}

// ended processes a whole line. It reports whether the request must be refused.
func (f *framing) ended(line []byte) (ambiguous bool) {
	switch f.state {
	case inSection:
		if len(line) == 0 {
			f.begin()
			return false
		}
		return f.section.header(line)
	case atChunk:
		f.chunk(line)
	case inTrailer:
		if len(line) == 0 {
			f.state = inSection
		}
	case inBody, inChunk, lost:
	}
	return false
}

// header processes a line of the section. It reports whether the request must be refused.
func (s *section) header(line []byte) (ambiguous bool) {
	if line[0] == ' ' || line[0] == '\t' {
		return s.framed // the value of the previous line continues here
	}
	name, value, _ := bytes.Cut(line, []byte{':'})
	s.framed = true
	switch {
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		s.coded = true
	case bytes.EqualFold(name, []byte("content-length")):
		s.measured, s.length = true, number(bytes.Trim(value, " \t"), 10)
	default:
		s.framed = false
	}
	return s.coded && s.measured
}

// begin enters the state after the section.
func (f *framing) begin() {
	s := f.section
	f.section = section{}
	switch {
	case s.coded:
		f.state = atChunk
	case s.length < 0:
		f.state = lost
	case s.length > 0:
		f.state, f.left = inBody, s.length
	}
}

// chunk begins a chunk; line has its size.
func (f *framing) chunk(line []byte) {
	size, _, _ := bytes.Cut(line, []byte{';'})
	switch n := number(bytes.TrimRight(size, " \t"), 16); {
	case n < 0:
		f.state = lost
	case n == 0:
		f.state = inTrailer
	default:
		f.state, f.left = inChunk, n+2 // with its line end
	}
}

// most is the largest number that is accepted.
const most = 1 << 50

// number parses digits in base. It returns -1 if text is empty, too large, or has any other character.
func number(text []byte, base int64) int64 {
	n := int64(0)
	for _, c := range text {
		digit := int64(strings.IndexByte("0123456789abcdef", c|0x20)) // this makes letters lower-case and leaves digits unchanged
		if digit < 0 || digit >= base || n > most {
			return -1
		}
		n = n*base + digit
	}
	if len(text) == 0 {
		return -1
	}
	return n
}
