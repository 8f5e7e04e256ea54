package storage_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/internal/postgres"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// bouncerTo starts a pgbouncer in transaction mode with two server connections for all clients, so that code that
// relies on getting the same connection twice gets another one.
func bouncerTo(t *testing.T, url string) string {
	t.Helper()
	return startBouncer(t, url).URL()
}

func startBouncer(t *testing.T, url string) *postgres.Bouncer {
	t.Helper()
	b, err := postgres.StartBouncer(t.Context(), url, 2)
	if errors.Is(err, postgres.ErrNoBouncer) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Stop()) })
	return b
}

// The test's pgbouncer breaks code that relies on sessions, such as pgx's default mode.
func TestPgbouncerIsOne(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	url := bouncerTo(t, pgtest.New(t, pgtest.Template{}))
	var conns [2]*pgx.Conn
	for i := range conns {
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
		conns[i] = conn
	}
	var failed error
	for i := range 20 {
		var n int
		failed = errors.Join(failed, conns[i%2].QueryRow(t.Context(), fmt.Sprintf(`select $1::int + %d`, i/4), 1).Scan(&n))
	}
	require.ErrorContains(t, failed, "prepared statement")
}

// A store works through a pgbouncer in transaction mode, because each of its operations takes one transaction. No
// setting says that there is a pgbouncer.
func TestThroughPgbouncer(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	direct := setup(t)
	url := bouncerTo(t, direct.url)
	f := &fixture{Store: open(t, url, encryptionKey), url: direct.url, db: direct.db}
	require.NoError(t, f.Ready(t.Context()))
	w := f.webhook(t)

	var publishers sync.WaitGroup
	failed := make(chan error, 800)
	for i := range 20 {
		publishers.Go(func() {
			for n := range 20 {
				data := fmt.Appendf(nil, `{"n":%d}`, 20*i+n)
				if _, err := f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: data}); err != nil {
					failed <- err
				}
				if _, err := f.Webhook(t.Context(), w.TenantID, w.ID); err != nil {
					failed <- err
				}
			}
		})
	}
	publishers.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	require.Equal(t, 400, scalar[int](t, f, `select count(*) from deliveries`))

	// A lease belongs to no session: any connection can extend it.
	for range 5 {
		require.True(t, must(f.Lease(t.Context(), "x", hook.LeaseHolder{1}, time.Minute)))
		require.False(t, must(f.Lease(t.Context(), "x", hook.LeaseHolder{2}, time.Minute)))
	}

	// No session state is left on a connection of the pgbouncer.
	require.Zero(t, scalar[int](t, f, `
		select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`))
	conn, err := pgx.Connect(t.Context(), url+"&default_query_exec_mode=exec")
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	for range 10 {
		var mode string
		require.NoError(t, conn.QueryRow(t.Context(), `select current_setting('plan_cache_mode')`).Scan(&mode))
		require.Equal(t, "auto", mode)
	}
}

// While pgbouncer is unavailable, so is the store. When it is back, the store works, and must detect again that it
// is behind a pgbouncer.
func TestPgbouncerThatIsAwayAtFirst(t *testing.T) {
	t.Parallel()
	f := setup(t)
	b := startBouncer(t, f.url)
	require.NoError(t, b.Stop())
	store := open(t, b.URL(), encryptionKey)
	requireKind(t, hook.KindUnavailable, store.Ready(t.Context()))
	require.NoError(t, b.Start(t.Context()))
	for range 10 {
		require.NoError(t, store.Ready(t.Context()))
	}
}

// Migrations run through pgbouncer. If several processes migrate at once, one of them an older one with a session
// lock, only one runs at a time.
func TestMigrateThroughPgbouncer(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	direct := pgtest.New(t, pgtest.Template{})
	url := bouncerTo(t, direct)
	ran, err := storage.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.Positive(t, ran)
	ran, err = storage.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.Zero(t, ran)

	older, err := pgx.Connect(t.Context(), direct)
	require.NoError(t, err)
	t.Cleanup(func() { _ = older.Close(context.WithoutCancel(t.Context())) })
	_, err = older.Exec(t.Context(), `select pg_advisory_lock(4097083626)`)
	require.NoError(t, err)
	// An attempt that gets no lock is rolled back.
	var before int64
	const tries = `select xact_rollback from pg_stat_database where datname = current_database()`
	require.NoError(t, older.QueryRow(t.Context(), tries).Scan(&before))
	done := make(chan error, 1)
	go func() {
		_, err := storage.Migrate(t.Context(), url)
		done <- err
	}()
	require.Eventually(t, func() bool {
		var now int64
		err := older.QueryRow(t.Context(), tries).Scan(&now)
		return err == nil && now > before+1
	}, 30*time.Second, 10*time.Millisecond, "it tries again and again")
	require.Empty(t, done, "it waits for the older one")
	_, err = older.Exec(t.Context(), `select pg_advisory_unlock(4097083626)`)
	require.NoError(t, err)
	require.NoError(t, <-done)
}

// M8: notifications can't be received through a pgbouncer. The error says so at once, and no connection is opened
// for it. Through the direct URL they are received.
func TestListenTopicsThroughPgbouncer(t *testing.T) {
	t.Parallel()
	f := setup(t)
	url := bouncerTo(t, f.url)
	pooled := open(t, url, encryptionKey)
	require.NoError(t, pooled.ListenTopics(t.Context(), func() { t.Error("it listens") }, func([]hook.TopicID) {}))

	box, err := secrets.New(encryptionKey)
	require.NoError(t, err)
	both, err := storage.Open(t.Context(), storage.Config{URL: url, DirectURL: f.url, Box: box})
	require.NoError(t, err)
	t.Cleanup(both.Close)
	ctx, cancel := context.WithCancel(t.Context())
	listening, heard, done := make(chan bool, 1), make(chan []hook.TopicID, 1), make(chan error, 1)
	go func() {
		done <- both.ListenTopics(ctx, func() { listening <- true }, func(topics []hook.TopicID) { heard <- topics })
	}()
	<-listening
	topic := hook.TopicID{1, 2, 3}
	require.NoError(t, pooled.AnnounceTopics(t.Context(), []hook.TopicID{topic}))
	require.Equal(t, []hook.TopicID{topic}, <-heard)
	cancel()
	require.Error(t, <-done)
}
