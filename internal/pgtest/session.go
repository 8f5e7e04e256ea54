//go:build unix

package pgtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// resetTime bounds what pgtest itself asks of a connection.
const resetTime = 5 * time.Second

// relayBuffer is the size of the buffer of one direction.
const relayBuffer = 32 << 10

// backend is a connection to the server.
type backend struct {
	conn net.Conn
	// greeting is what the server has said at the begin of the session.
	greeting []byte
	pid      uint32
	// plain means that the database gave the session no settings.
	plain bool
}

// connect opens a connection for a client. If the server refuses that, greeting says why, and the connection has ended.
func connect(server string, o opening) (*backend, error) {
	conn, err := dial(server)
	if err != nil {
		return nil, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	b := &backend{conn: conn}
	if _, err := conn.Write(o.raw); err != nil {
		b.close()
		return nil, err
	}
	if b.greet() == nil {
		b.plain = b.hasNoSettings()
	}
	return b, nil
}

func dial(server string) (net.Conn, error) {
	return net.DialUnix("unix", nil, &net.UnixAddr{Name: server, Net: "unix"})
}

// greet reads what the server says until it is ready.
func (b *backend) greet() error {
	var m messages
	p := make([]byte, 4<<10)
	for {
		n, err := b.conn.Read(p)
		if err != nil {
			return err
		}
		b.greeting = append(b.greeting, p[:n]...)
		for rest := p[:n]; len(rest) > 0; {
			used, ended := m.next(rest)
			rest = rest[used:]
			switch ended {
			case 'K':
				b.pid = binary.BigEndian.Uint32(m.head[5:])
			case 'Z':
				return nil
			}
		}
	}
}

// reset takes away what the client has left in the session.
func (b *backend) reset() error {
	_, err := b.query("discard all")
	return err
}

// hasNoSettings reports whether the database gives a session that begins now no settings. It is false if the server
// does not answer: it may have been told to end the connection.
func (b *backend) hasNoSettings() bool {
	// Most often, no database has any, and this is the cheaper statement.
	rows, err := b.query(`select 1 from pg_db_role_setting limit 1`)
	if err != nil || rows == 0 {
		return err == nil
	}
	rows, err = b.query(`select 1 from pg_db_role_setting
		where setdatabase = 0 or setdatabase = (select oid from pg_database where datname = current_database())`)
	return err == nil && rows == 0
}

// query runs a statement and returns the number of its rows.
func (b *backend) query(sql string) (rows int, err error) {
	if err := b.conn.SetDeadline(time.Now().Add(resetTime)); err != nil {
		return 0, err
	}
	f := pgproto3.NewFrontend(b.conn, b.conn)
	f.Send(&pgproto3.Query{String: sql})
	if err := f.Flush(); err != nil {
		return 0, err
	}
	for {
		answer, err := f.Receive()
		if err != nil {
			return 0, err
		}
		switch m := answer.(type) {
		case *pgproto3.DataRow:
			rows++
		case *pgproto3.ErrorResponse:
			return 0, errors.New(m.Message)
		case *pgproto3.ReadyForQuery:
			return rows, b.conn.SetDeadline(time.Time{})
		}
	}
}

func (b *backend) close() { _ = b.conn.Close() } // nothing to lose

// session is a client with its connection.
type session struct {
	client        net.Conn
	database, key string
	backend       *backend
	canceled      bool // guarded by the keeper's mu

	mu sync.Mutex
	// asked counts the client's messages that the server answers by being ready, answered the answers; guarded by mu.
	asked, answered int
	// unfinished means that the client has begun something and not asked for its end; guarded by mu.
	unfinished bool
	// status is that of the last answer: I outside a transaction; guarded by mu.
	status byte
	// left means that the client has said goodbye; guarded by mu.
	left bool
}

// relay copies in both directions until the client leaves or a connection breaks.
func (s *session) relay() {
	s.status = 'I'
	var back sync.WaitGroup
	back.Go(s.fromServer)
	s.fromClient()
	if s.idle() {
		// The server says nothing more: this ends the read that waits for it.
		_ = s.backend.conn.SetReadDeadline(time.Unix(1, 0))
	} else {
		s.backend.close()
	}
	back.Wait()
}

// idle reports whether the client has left the connection as if nothing had happened.
func (s *session) idle() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.left && s.asked == s.answered && !s.unfinished && s.status == 'I'
}

// fromClient passes on what the client says, but no goodbye.
func (s *session) fromClient() {
	var m messages
	p := make([]byte, relayBuffer)
	for {
		n, err := s.client.Read(p)
		if err != nil {
			return
		}
		if m.between() && string(p[:n]) == "X\x00\x00\x00\x04" {
			s.mu.Lock()
			s.left = true
			s.mu.Unlock()
			return
		}
		s.said(&m, p[:n])
		if _, err := s.backend.conn.Write(p[:n]); err != nil {
			// What the server has said before its end is on its way to the client.
			return
		}
	}
}

// said counts the client's messages.
func (s *session) said(m *messages, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		n, ended := m.next(p)
		p = p[n:]
		switch ended {
		case 'Q', 'S', 'F': // Query, Sync, FunctionCall
			s.asked++
			s.unfinished = false
		case 'P', 'B', 'E', 'D', 'C', 'H': // Parse, Bind, Execute, Describe, Close, Flush
			s.unfinished = true
		}
	}
}

// fromServer passes on what the server says. At the server's end the client's session ends, too.
func (s *session) fromServer() {
	var m messages
	p := make([]byte, relayBuffer)
	for {
		n, err := s.backend.conn.Read(p)
		if n > 0 {
			s.answers(&m, p[:n])
			_, _ = s.client.Write(p[:n]) // fromClient notices that the client is gone
		}
		if err != nil {
			break
		}
	}
	if !s.idle() || !m.between() {
		s.mu.Lock()
		s.unfinished = true
		s.mu.Unlock()
		_ = s.client.Close()
	}
}

// answers counts the server's answers.
func (s *session) answers(m *messages, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		n, ended := m.next(p)
		p = p[n:]
		if ended == 'Z' {
			s.answered++
			s.status = m.head[5]
		}
	}
}
