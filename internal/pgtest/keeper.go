//go:build unix

package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"grapnel/internal/wait"
)

// mostKept is how many connections of a kind are kept: a database serves one test at a time.
const mostKept = 16

// keeper stands between the tests and the server that pgtest has started, and keeps connections: a client that ends
// its session leaves the connection to the next client that begins the same session. A new connection costs
// PostgreSQL a process, which must read the catalog anew: in a test that takes longer than the statements.
//
// A connection is kept if it is idle at its client's end, and DISCARD ALL takes its state away. Every other one ends
// with its client.
type keeper struct {
	listener net.Listener
	server   string // path of the server's socket
	serving  sync.WaitGroup

	mu sync.Mutex
	// kept are the connections without a client, by database and by session; guarded by mu.
	kept map[string]map[string][]*backend
	// sessions are the connections with a client; guarded by mu.
	sessions map[*session]struct{}
	closed   bool // guarded by mu
}

// newKeeper returns a keeper on a socket beside that of the server at the address.
func newKeeper(ctx context.Context, address string) (*keeper, string, error) {
	conf, err := pgconn.ParseConfig(address)
	if err != nil {
		return nil, "", fmt.Errorf("keep connections: %w", err)
	}
	port := conf.Port + 1
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", socket(conf.Host, port))
	if err != nil {
		return nil, "", fmt.Errorf("keep connections: %w", err)
	}
	// A pgbouncer runs as the server's user. The directory is closed to others.
	if err := os.Chmod(socket(conf.Host, port), 0o666); err != nil { //nolint:gosec // see above
		return nil, "", errors.Join(err, listener.Close())
	}
	k := &keeper{
		listener: listener, server: socket(conf.Host, conf.Port),
		kept: map[string]map[string][]*backend{}, sessions: map[*session]struct{}{},
	}
	k.serving.Go(k.run)
	u, err := url.Parse(address)
	if err != nil {
		return nil, "", errors.Join(err, k.close())
	}
	q := u.Query()
	q.Set("port", strconv.Itoa(int(port)))
	// pgx does not decode a plus sign as a space.
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return k, u.String(), nil
}

func socket(dir string, port uint16) string {
	return filepath.Join(dir, ".s.PGSQL."+strconv.Itoa(int(port)))
}

// run serves clients until the keeper is closed.
func (k *keeper) run() {
	for {
		client, err := k.listener.Accept()
		if err != nil {
			return
		}
		k.serving.Go(func() {
			defer client.Close()
			k.serve(client)
		})
	}
}

// serve serves one client. If it fails, the client sees its connection end.
func (k *keeper) serve(client net.Conn) {
	o, err := readOpening(client)
	if err != nil {
		return
	}
	if o.code == cancelCode {
		k.cancel(o)
		return
	}
	database, key, err := o.session()
	if err != nil {
		return
	}
	s := &session{client: client, database: database, key: key}
	if !k.begin(s) {
		return
	}
	b := k.take(database, key)
	if b == nil {
		if b, err = connect(k.server, o); err != nil {
			k.forget(s)
			return
		}
	}
	k.lend(s, b)
	defer k.end(s)
	if _, err := client.Write(b.greeting); err == nil {
		s.relay()
	}
}

// begin notes a session; false if the keeper was closed.
func (k *keeper) begin(s *session) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.sessions[s] = struct{}{}
	}
	return !k.closed
}

// lend notes the session's connection.
func (k *keeper) lend(s *session, b *backend) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s.backend = b
}

// end keeps the session's connection if its client has left it idle, and else closes it.
func (k *keeper) end(s *session) {
	clean := s.backend.plain && s.idle() && s.backend.reset() == nil
	if !clean {
		s.backend.close()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sessions, s)
	if !clean {
		return
	}
	of := k.kept[s.database]
	if k.closed || s.canceled || len(of[s.key]) >= mostKept {
		s.backend.close()
		return
	}
	if of == nil {
		of = map[string][]*backend{}
		k.kept[s.database] = of
	}
	of[s.key] = append(of[s.key], s.backend)
}

func (k *keeper) forget(s *session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.sessions, s)
}

// take returns a kept connection; nil if there is none that is as good as a new one.
func (k *keeper) take(database, key string) *backend {
	for {
		b := k.pop(database, key)
		if b == nil || b.hasNoSettings() {
			return b
		}
		b.close()
	}
}

func (k *keeper) pop(database, key string) *backend {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.kept[database][key]
	if len(list) == 0 {
		return nil
	}
	b := list[len(list)-1]
	k.kept[database][key] = list[:len(list)-1]
	return b
}

// cancel passes on a request to cancel a statement. It may come late, so that the connection isn't kept afterwards.
func (k *keeper) cancel(o opening) {
	k.mu.Lock()
	for s := range k.sessions {
		if s.backend != nil && s.backend.pid == o.canceled() {
			s.canceled = true
		}
	}
	k.mu.Unlock()
	server, err := dial(k.server)
	if err != nil {
		return
	}
	defer server.Close()
	_ = server.SetDeadline(time.Now().Add(resetTime))
	if _, err := server.Write(o.raw); err == nil {
		_, _ = server.Read(make([]byte, 1)) // the end: the server has sent the signal
	}
}

// alone waits until no client has a session in the database, and returns the process ids of the connections kept.
func (k *keeper) alone(ctx context.Context, database string) ([]int32, error) {
	for {
		pids, sessions := k.state(database)
		if sessions == 0 {
			return pids, nil
		}
		if err := wait.For(ctx, leavePoll); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

func (k *keeper) state(database string) (pids []int32, sessions int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	pids = []int32{}
	for s := range k.sessions {
		if s.database == database {
			sessions++
		}
	}
	for _, list := range k.kept[database] {
		for _, b := range list {
			pids = append(pids, int32(b.pid)) //nolint:gosec // a process id fits
		}
	}
	return pids, sessions
}

// drop closes the connections kept to a database.
func (k *keeper) drop(database string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, list := range k.kept[database] {
		for _, b := range list {
			b.close()
		}
	}
	delete(k.kept, database)
}

// close ends all sessions and connections.
func (k *keeper) close() error {
	err := k.listener.Close()
	k.mu.Lock()
	k.closed = true
	for s := range k.sessions {
		_ = s.client.Close() // its relay closes the rest
	}
	databases := k.kept
	k.kept = map[string]map[string][]*backend{}
	k.mu.Unlock()
	for _, kinds := range databases {
		for _, list := range kinds {
			for _, b := range list {
				b.close()
			}
		}
	}
	k.serving.Wait()
	return err
}
