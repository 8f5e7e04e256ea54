//go:build unix

package pgtest

import (
	"bytes"
	"encoding/binary"
	"regexp"
	"strings"
	"sync/atomic"
)

const (
	// cachedName begins the names that pgx gives the statements of its cache. The rest is a hash of the statement's
	// text, so that a name means the same statement to every client.
	cachedName = "stmtcache_"
	// mostStatements is how many statements a connection may have and still be kept as it is.
	mostStatements = 500
	// parseNothing is a Parse message without a statement. The server answers it as every other one.
	parseNothing = "P\x00\x00\x00\x08\x00\x00\x00\x00"
)

// statements are the prepared statements of a connection. They stay when the connection goes to the next client: to
// parse and plan a statement over tables with partitions takes longer than to execute it. A client that prepares a
// statement which the server has already gets the answer that it expects, because its message is replaced by
// parseNothing. PostgreSQL plans a statement anew when a table has changed; if its result may have changed, too, it is
// closed and made anew.
type statements struct {
	// shape counts the changes to the database but to rows, as far as they can be seen. All connections share it.
	shape *atomic.Int64
	// known are the statements that the server has, by name, each with the shape for which it was made.
	known map[string]int64
	// requests are those that the server has not answered, oldest first.
	requests []request
	// others means that there may be statements that are not known.
	others bool
	// changing means that the open transaction has changed the shape.
	changing bool
}

// request is a message to the server that makes or closes a statement.
type request struct {
	// answer is the type of the message by which the server says that it is done: 1 ParseComplete, 3 CloseComplete.
	answer byte
	// name is that of the statement; empty if it is of no interest.
	name  string
	shape int64
	// ours means that the client knows nothing of it.
	ours bool
	// number counts the messages before it that the server answers by being ready. If the server is ready once more
	// without having answered the request, it has skipped it after an error.
	number int
}

// said notes a whole message of the client, and appends to passed what the server gets in its place. The number is
// request's.
func (s *statements) said(passed, message []byte, number int) []byte {
	body := message[5:]
	switch message[0] {
	case 'Q':
		s.look(body)
	case 'C':
		r := request{answer: '3', number: number}
		if len(body) > 0 && body[0] == 'S' {
			r.name, _ = text(body[1:])
		}
		s.requests = append(s.requests, r)
	case 'P':
		return s.parse(passed, message, number)
	}
	return append(passed, message...)
}

// parse is said for a Parse message.
func (s *statements) parse(passed, message []byte, number int) []byte {
	name, sql := text(message[5:])
	r := request{answer: '1', number: number}
	if !strings.HasPrefix(name, cachedName) {
		s.others = s.others || name != ""
		s.look(sql)
		s.requests = append(s.requests, r)
		return append(passed, message...)
	}
	shape, there := s.known[name]
	if there && shape == s.shape.Load() && !s.awaits(name) {
		s.requests = append(s.requests, r)
		return append(passed, parseNothing...)
	}
	if there {
		s.requests = append(s.requests, request{answer: '3', name: name, ours: true, number: number})
		passed = appendClose(passed, name)
	}
	s.look(sql)
	r.name, r.shape = name, s.shape.Load()
	s.requests = append(s.requests, r)
	return append(passed, message...)
}

// awaits reports whether a request for the statement has not been answered.
func (s *statements) awaits(name string) bool {
	for _, r := range s.requests {
		if r.name == name {
			return true
		}
	}
	return false
}

// prepares finds statements of SQL that make or close prepared statements.
var prepares = regexp.MustCompile(`(?i)(^|;)\s*(prepare|deallocate|discard)\b`)

// look notes that a text in SQL may make or close prepared statements.
func (s *statements) look(sql []byte) {
	suspect := false
	for _, word := range []string{"prepare", "PREPARE", "deallocate", "DEALLOCATE", "discard", "DISCARD"} {
		suspect = suspect || bytes.Contains(sql, []byte(word)) // the expression takes longer
	}
	if suspect && prepares.Match(sql) {
		s.others = true
		s.shape.Add(1)
	}
}

// answered notes a message of the server by its type and the first bytes of its body, and reports whether the client
// gets it. The number counts the times that the server was ready.
func (s *statements) answered(kind byte, begin [4]byte, number int) bool {
	switch kind {
	case '1', '3': // ParseComplete, CloseComplete
		if len(s.requests) == 0 || s.requests[0].answer != kind {
			s.others = true // it is not understood
			return true
		}
		r := s.requests[0]
		s.requests = s.requests[1:]
		s.done(&r)
		return !r.ours
	case 'C': // CommandComplete, with the command's name
		command := string(begin[:])
		if command == "CREA" || command == "ALTE" || command == "DROP" || strings.HasPrefix(command, "DO\x00") {
			s.shape.Add(1)
			s.changing = true
		}
	case 'Z': // ReadyForQuery
		for len(s.requests) > 0 && s.requests[0].number < number {
			s.requests = s.requests[1:]
		}
		if s.changing && begin[0] == 'I' {
			s.shape.Add(1)
			s.changing = false
		}
	}
	return true
}

// done notes that the server has done what a request has asked for.
func (s *statements) done(r *request) {
	switch {
	case r.name == "":
	case r.answer == '3':
		delete(s.known, r.name)
	default:
		if s.known == nil {
			s.known = map[string]int64{}
		}
		s.known[r.name] = r.shape
	}
}

// text returns the string at the begin of a message's body, and the rest.
func text(body []byte) (string, []byte) {
	before, rest, _ := bytes.Cut(body, []byte{0})
	return string(before), rest
}

// appendClose appends the message that closes a statement.
func appendClose(p []byte, name string) []byte {
	p = append(p, 'C')
	p = binary.BigEndian.AppendUint32(p, uint32(4+1+len(name)+1)) //nolint:gosec // a name is short
	p = append(p, 'S')
	p = append(p, name...)
	return append(p, 0)
}
