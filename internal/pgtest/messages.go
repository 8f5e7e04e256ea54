//go:build unix

package pgtest

import (
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Codes in the place of a protocol version, at a connection's begin.
const (
	cancelCode = 80877102
	sslCode    = 80877103
	gssCode    = 80877104
	// longestOpening is the length to which PostgreSQL limits an opening.
	longestOpening = 10000
)

// opening is the first message of a connection. It has no type byte.
type opening struct {
	raw  []byte
	code uint32
}

// readOpening reads a client's opening, and refuses encryption.
func readOpening(client net.Conn) (opening, error) {
	for {
		o, err := readOneOpening(client)
		if err != nil || o.code != sslCode && o.code != gssCode {
			return o, err
		}
		if _, err := client.Write([]byte{'N'}); err != nil {
			return o, err
		}
	}
}

func readOneOpening(client io.Reader) (opening, error) {
	head := make([]byte, 8)
	if _, err := io.ReadFull(client, head); err != nil {
		return opening{}, err
	}
	length := binary.BigEndian.Uint32(head)
	if length < 8 || length > longestOpening {
		return opening{}, fmt.Errorf("an opening of %d bytes", length)
	}
	raw := append(head, make([]byte, length-8)...)
	_, err := io.ReadFull(client, raw[8:])
	return opening{raw: raw, code: binary.BigEndian.Uint32(raw[4:])}, err
}

// session returns the database and the key of the opening of a session. Sessions with the same key begin alike.
func (o opening) session() (database, key string, err error) {
	var m pgproto3.StartupMessage
	if err := m.Decode(o.raw[4:]); err != nil {
		return "", "", fmt.Errorf("read the opening: %w", err)
	}
	var b strings.Builder
	fmt.Fprint(&b, m.ProtocolVersion)
	for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
		fmt.Fprintf(&b, " %q=%q", name, m.Parameters[name])
	}
	return m.Parameters["database"], b.String(), nil
}

// canceled returns the process id in the opening of a request to cancel a statement.
func (o opening) canceled() uint32 {
	if len(o.raw) < 12 {
		return 0
	}
	return binary.BigEndian.Uint32(o.raw[8:])
}

// messages follows the messages in one direction of a session: a type byte, a length without that byte, and a body.
type messages struct {
	// head are the message's first bytes: its type, its length and its body's first four.
	head [9]byte
	have int // of head
	left int // bytes of the message that come after head
}

// between reports whether a message begins next.
func (m *messages) between() bool { return m.have == 0 }

// next reads on in p, at most to a message's end. It returns the number of bytes read, and the type of the message
// that has ended; 0 if none has.
func (m *messages) next(p []byte) (n int, ended byte) {
	for n < len(p) && m.have < m.headLength() {
		m.head[m.have] = p[n]
		m.have++
		n++
		if m.have == 5 {
			m.left = int(binary.BigEndian.Uint32(m.head[1:])) + 1 - m.headLength()
		}
	}
	if m.have < m.headLength() {
		return n, 0
	}
	body := min(m.left, len(p)-n)
	m.left -= body
	if m.left > 0 {
		return n + body, 0
	}
	m.have = 0
	return n + body, m.head[0]
}

// headLength is how many bytes of head the message has.
func (m *messages) headLength() int {
	if m.have < 5 {
		return 5
	}
	return min(len(m.head), int(binary.BigEndian.Uint32(m.head[1:]))+1)
}
