package app

import (
	"bytes"
	"strings"
)

// A request with both Content-Length and Transfer-Encoding is how one request is made to
// look like two where a proxy and the server go by another of them (RFC 9112, 6.3).
// net/http goes by Transfer-Encoding, as it must, and takes the other away before any
// handler sees it. So such a request is refused before net/http has read it: framing
// follows the bytes that a client sends, from header section to header section.

// framing is where a connection's bytes are. Its zero value is the beginning.
type framing struct {
	state framingState
	// line is what has been read of a line, up to longestLine.
	line []byte
	// left is how many bytes of a body, or of a chunk, are still to come.
	left int64
	// section is what is known of the header section that is being read.
	section section
}

type framingState int

const (
	inSection framingState = iota // the request line and the headers
	inBody                        // left bytes of a body
	atChunk                       // the line with a chunk's size
	inChunk                       // left bytes of a chunk, its line end with it
	inTrailer                     // the lines after the last chunk
	lost                          // net/http refuses what has come, and nothing is looked at
)

type section struct {
	coded, measured bool
	length          int64
	// framed says that the last line was one of the two headers, which must not go on in
	// the next line.
	framed bool
}

// longestLine is more than the lines that are looked at have.
const longestLine = 256

// follow looks at bytes. Where a request is to be refused, ambiguous is true, and good is
// how many of them belong to what may still be read.
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

// ended takes a whole line in; true refuses the request.
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

// header takes in a line of the section; true refuses the request.
func (s *section) header(line []byte) (ambiguous bool) {
	if line[0] == ' ' || line[0] == '\t' {
		return s.framed // a value that goes on here
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

// begin begins what follows the section.
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

// chunk begins a chunk of which the line gives the size.
func (f *framing) chunk(line []byte) {
	size, _, _ := bytes.Cut(line, []byte{';'})
	switch n := number(bytes.TrimRight(size, " \t"), 16); {
	case n < 0:
		f.state = lost
	case n == 0:
		f.state = inTrailer
	default:
		f.state, f.left = inChunk, n+2 // and its line end
	}
}

// most bounds a number that is believed.
const most = 1 << 50

// number reads digits and nothing else; -1 where there is something else.
func number(text []byte, base int64) int64 {
	n := int64(0)
	for _, c := range text {
		digit := int64(strings.IndexByte("0123456789abcdef", c|0x20)) // digits have that bit
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
