package storage_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// proxy stands between a Store and PostgreSQL, so that a test can cut the connections.
type proxy struct {
	url string

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
	wg       sync.WaitGroup
}

func newProxy(t *testing.T, database string) *proxy {
	t.Helper()
	cfg, err := pgx.ParseConfig(database)
	require.NoError(t, err)
	network, address := pgconn.NetworkAddress(cfg.Host, cfg.Port)
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(cfg.User, cfg.Password), Host: listener.Addr().String(),
		Path: "/" + cfg.Database, RawQuery: "sslmode=disable&pool_max_conns=1",
	}
	p := &proxy{url: u.String(), listener: listener}
	p.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := (&net.Dialer{}).DialContext(t.Context(), network, address)
			if err != nil {
				_ = client.Close() // the proxy only cuts connections
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
				p.wg.Go(func() {
					_, _ = io.Copy(pair[0], pair[1]) // ends when the connection is cut
					_ = pair[0].Close()              // the proxy only cuts connections
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // the proxy only cuts connections
		p.cut()
		p.wg.Wait()
	})
	return p
}

// cut closes every connection without notice, as a crash or a network failure does.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.conns {
		_ = c.Close() // the proxy only cuts connections
	}
	p.conns = nil
}

// Spec 6, 9: while the store is unavailable, errors are of the kind unavailable (503, try again), never internal:
// an attempt that can't be recorded now is recorded later.
func TestAStoreThatIsAwayIsUnavailable(t *testing.T) {
	t.Parallel()
	// probe calls a method that runs a single statement, and one that runs a transaction.
	probe := func(t *testing.T, s *storage.Store) {
		t.Helper()
		_, err := s.Webhook(t.Context(), hook.DefaultTenant(), hook.WebhookID{1})
		requireKind(t, hook.KindUnavailable, err)
		requireKind(t, hook.KindUnavailable, s.DeleteWebhook(t.Context(), hook.DefaultTenant(), hook.WebhookID{1}))
	}

	t.Run("closed pool", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.Close()
		probe(t, f.Store)
	})
	t.Run("nobody listens", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, setup(t).url)
		_ = p.listener.Close() // the proxy only cuts connections
		probe(t, open(t, p.url, encryptionKey))
	})
	t.Run("the server hangs up on whoever connects", func(t *testing.T) {
		t.Parallel()
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		var wg sync.WaitGroup
		wg.Go(func() {
			for {
				c, err := listener.Accept()
				if err != nil {
					return
				}
				_ = c.Close() // the proxy only cuts connections
			}
		})
		t.Cleanup(func() {
			_ = listener.Close() // the proxy only cuts connections
			wg.Wait()
		})
		probe(t, open(t, "postgres://u@"+listener.Addr().String()+"/d?sslmode=disable", encryptionKey))
	})
	t.Run("too many connections", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		cfg, err := pgx.ParseConfig(f.url)
		require.NoError(t, err)
		role := cfg.Database
		f.exec(t, fmt.Sprintf(`create role %s login password 'x' connection limit 0`, role))
		t.Cleanup(func() {
			_, err := f.db.Exec(context.WithoutCancel(t.Context()), `drop role `+role)
			require.NoError(t, err)
		})
		u, err := url.Parse(f.url)
		require.NoError(t, err)
		u.User = url.UserPassword(role, "x")
		if q := u.Query(); q.Has("user") {
			q.Set("user", role)
			u.RawQuery = q.Encode()
		}
		s := open(t, u.String(), encryptionKey)
		probe(t, s)
		require.ErrorContains(t, s.Ready(t.Context()), "53300")
	})
	t.Run("the line is cut between statements", func(t *testing.T) {
		t.Parallel()
		p := newProxy(t, setup(t).url)
		s := open(t, p.url, encryptionKey)
		require.NoError(t, s.Ready(t.Context()))
		p.cut()
		requireKind(t, hook.KindUnavailable, s.Ready(t.Context()))
		require.NoError(t, s.Ready(t.Context()), "the next one has a new line")
	})

	for name, end := range map[string]func(*testing.T, *fixture, *proxy){
		"the line is cut during a statement": func(_ *testing.T, _ *fixture, p *proxy) { p.cut() },
		"the server shuts down during a statement": func(t *testing.T, f *fixture, _ *proxy) {
			t.Helper()
			f.exec(t, `select pg_terminate_backend(pid) from pg_stat_activity
				where datname = current_database() and application_name = 'grapnel'`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			p := newProxy(t, f.url)
			s := open(t, p.url, encryptionKey)
			f.hold(t, w)
			result := make(chan error, 1)
			go func() { result <- s.DeleteWebhook(t.Context(), w.TenantID, w.ID) }()
			require.Eventually(t, func() bool {
				return scalar[int](t, f, `select count(*) from pg_locks l join pg_stat_activity a using (pid)
					where not l.granted and a.datname = current_database()`) > 0
			}, 10*time.Second, 5*time.Millisecond, "the statement waits")
			end(t, f, p)
			requireKind(t, hook.KindUnavailable, <-result)
		})
	}
}

// hold locks the webhook's row until the test ends.
func (f *fixture) hold(t *testing.T, w hook.Webhook) {
	t.Helper()
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) })
	_, err = tx.Exec(t.Context(), `select from webhooks where id = $1 for update`, w.ID[:])
	require.NoError(t, err)
}

// If the deadline passes while the store does not answer, the error says that the store is unavailable.
func TestADeadlineIsUnavailable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.hold(t, w)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	requireKind(t, hook.KindUnavailable, f.DeleteWebhook(ctx, w.TenantID, w.ID))
	require.Equal(t, w, f.health(t, w))
}

// Spec 6: the client sees the message of such an error. Hosts, statements and passwords go to the log only.
func TestErrorsForTheCallerCarryNoCause(t *testing.T) {
	t.Parallel()
	s := open(t, "postgres://u:geheim@127.0.0.1:1/d?sslmode=disable", encryptionKey)
	_, err := s.Webhook(t.Context(), hook.DefaultTenant(), hook.WebhookID{1})
	var e *hook.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, "the store is unavailable", e.Message)
	require.Positive(t, e.RetryAfter)
	require.NotContains(t, err.Error(), "geheim")
}

// A store can be opened while the database is unavailable, but not without its required settings.
func TestOpen(t *testing.T) {
	t.Parallel()
	_, err := storage.Open(t.Context(), storage.Config{URL: "postgres://u@127.0.0.1:1/d"})
	require.ErrorContains(t, err, "encryption keys")

	s := open(t, "postgres://u@127.0.0.1:1/d", encryptionKey)
	requireKind(t, hook.KindUnavailable, s.Ready(t.Context()))

	for _, bad := range []string{"postgres://u:geheim@%zz/d", "postgres://u:geheim@h/d?pool_max_conns=x", "postgres://u:geheim@h:port/d"} {
		_, err := storage.Migrate(t.Context(), bad)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "geheim", "no password in an error")
	}
}
