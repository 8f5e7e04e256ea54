package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/hook"
	"grapnel/internal/postgres"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// pgbouncerStack starts a stack of several processes that reaches PostgreSQL, for migrations too, through a
// pgbouncer in transaction mode.
func pgbouncerStack(t *testing.T) (s *stackProcess, dir string) {
	t.Helper()
	if err := postgres.CheckBouncer(); err != nil && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	dir = t.TempDir()
	return start(t, dir, append(flags, quick, "--allow-http", "--metrics-addr=", "--processes=split", "--pgbouncer")...), dir
}

// Grapnel works through a pgbouncer in transaction mode without a setting: events arrive, also by retries and also
// if another process accepted them without starting their workflow, and messages reach subscribers at other
// processes.
func TestPgbouncer(t *testing.T) {
	s, dir := pgbouncerStack(t)
	c := clientOf(t, s)
	receiver := newRecorder(t)
	secret := "whsec_c2VjcmV0"
	webhook, eventType := c.webhook(receiver.URL, object{"secret": secret})

	const publishers, each = 8, 25
	var wait sync.WaitGroup
	codes := make(chan int, publishers*each)
	for p := range publishers {
		wait.Go(func() {
			for n := range each {
				code, _, err := c.try(http.MethodPost, "/v1/events", object{"type": eventType, "data": object{"n": p*each + n}, "id": fmt.Sprint(p, "-", n)})
				if err != nil {
					code = -1
				}
				codes <- code
			}
		})
	}
	wait.Wait()
	close(codes)
	for code := range codes {
		require.Equal(t, http.StatusAccepted, code)
	}
	waitFor(t, "all events", func() bool { return len(receiver.requests()) == publishers*each })
	for _, r := range receiver.requests() {
		require.Equal(t, hmacHex(secret, r.Body), r.Header.Get("X-Webhook-Signature"))
	}
	duplicate := c.do(http.MethodPost, "/v1/events", object{"type": eventType, "data": object{"n": 0}, "id": "0-0"}, http.StatusAccepted)
	require.Equal(t, true, duplicate["duplicate"])

	// A retry, made by the workflow on schedule.
	failing := newRecorder(t, status(500), status(200))
	another, anotherType := c.webhook(failing.URL, nil)
	c.publish(anotherType, object{})
	require.Equal(t, "success", c.settled(another)["status"])
	require.Len(t, failing.requests(), 2)
	require.Equal(t, "success", c.do(http.MethodPost, "/v1/webhooks/"+another+"/test", nil, http.StatusOK)["status"])

	// A process died between accepting an event and starting its workflow: another process's sweeper finds the
	// event.
	leaveUnstarted(t, s, dir, eventType)
	waitFor(t, "the sweeper", func() bool { return len(receiver.requests()) == publishers*each+1 })
	require.Equal(t, "success", c.settled(webhook)["status"])

	// M8: a message reaches a webhook, subscribers at this process, and subscribers at another process, which gets
	// no notification through pgbouncer and polls the store.
	cache, topic := topicOf(t)
	c.topicHook(cache, "hook", receiver.URL, topic)
	second := secondAPI(t, s, dir)
	c.say(cache, topic, "first")
	for i, from := range []*apiClient{c, second} {
		waiting := from.pollAside(t, cache, topic, fmt.Sprintf("?sequence_number=%d", i+2))
		begin := time.Now()
		c.say(cache, topic, "and more")
		got := <-waiting
		require.NoError(t, got.err)
		require.Len(t, got.items, 1)
		require.Less(t, time.Since(begin), 2*time.Second)
	}

	// Three processes and the test together used no more connections to PostgreSQL than the pgbouncer has.
	var backends int
	require.NoError(t, stack.OnDatabase(t.Context(), s.ready["postgres"], func(conn *pgx.Conn) error {
		return conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = 'grapnel' and pid <> pg_backend_pid()`).Scan(&backends)
	}))
	require.LessOrEqual(t, backends, stack.BouncerConns)
}

// leaveUnstarted accepts an event without starting its workflow, like a process that dies in between.
func leaveUnstarted(t *testing.T, s *stackProcess, dir, eventType string) {
	t.Helper()
	store, err := storage.Open(t.Context(), storage.Config{URL: s.ready["pgbouncer"], Box: boxOf(t, dir)})
	require.NoError(t, err)
	defer store.Close()
	_, err = store.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: eventType, Data: []byte(`{"left":"behind"}`)})
	require.NoError(t, err)
}

// boxOf returns the box that opens the sealed values of the stack in the directory.
func boxOf(t *testing.T, dir string) *secrets.Box {
	t.Helper()
	kept, err := stack.LoadCredentials(filepath.Join(dir, "secrets.json"))
	require.NoError(t, err)
	box, err := secrets.New(kept.Encryption)
	require.NoError(t, err)
	return box
}
