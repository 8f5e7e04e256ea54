package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/internal/secrets"
	"grapnel/storage"
	"grapnel/storage/pgtemplate"
)

// These tests run over the real store.

// database makes a database for the test and returns its address.
func database(t *testing.T) string {
	t.Helper()
	return pgtest.New(t, pgtemplate.Template())
}

// process opens the store as a process does, with a number of connections.
func process(t *testing.T, address string, connections int) *storage.Store {
	t.Helper()
	box, err := secrets.New("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
	require.NoError(t, err)
	u, err := url.Parse(address)
	require.NoError(t, err)
	q := u.Query()
	q.Set("pool_max_conns", fmt.Sprint(connections))
	u.RawQuery = q.Encode()
	s, err := storage.Open(t.Context(), storage.Config{URL: u.String(), Box: box})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

func receiver(t *testing.T, s *storage.Store) {
	t.Helper()
	w := hook.Webhook{TenantID: hook.DefaultTenant(), URL: "https://example.com/", Events: []string{"user.created"}, Secret: "whsec_abc123", Active: true}
	w.Normalize()
	_, err := s.CreateWebhook(t.Context(), w)
	require.NoError(t, err)
}

// publish accepts n events and returns their ids.
func publish(t *testing.T, s *storage.Store, n int) map[hook.EventID]bool {
	t.Helper()
	accepted := map[hook.EventID]bool{}
	for n > 0 {
		list := make([]hook.Publication, min(n, 500))
		for i := range list {
			list[i] = hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`{}`)}
		}
		all, errs := s.PublishAll(t.Context(), list)
		for i := range all {
			require.NoError(t, errs[i])
			accepted[all[i].Event.ID] = true
		}
		n -= len(list)
	}
	return accepted
}

// sweeper returns a sweeper with short intervals.
func sweeper(t *testing.T, s *storage.Store, temporal *temporalServer, most int, change ...func(*dispatch.SweeperConfig)) *dispatch.Sweeper {
	t.Helper()
	starter, err := dispatch.NewStarter(dispatch.StarterConfig{Temporal: temporal, Outbox: s, Logger: slog.New(slog.DiscardHandler), MaxEvents: most})
	require.NoError(t, err)
	c := dispatch.SweeperConfig{
		Starter: starter, Store: s, Temporal: temporal, Resetter: temporal, Health: temporal, Logger: slog.New(slog.DiscardHandler),
		Interval: 10 * time.Millisecond, Age: time.Millisecond, PaceFor: time.Millisecond,
	}
	for _, f := range change {
		f(&c)
	}
	swept, err := dispatch.NewSweeper(c)
	require.NoError(t, err)
	return swept
}

// await waits until the outbox is empty.
func await(t *testing.T, address string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), address)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing was written
	require.Eventually(t, func() bool {
		var left int
		require.NoError(t, conn.QueryRow(t.Context(), `select count(*) from outbox`).Scan(&left))
		return left == 0
	}, time.Minute, 100*time.Millisecond)
}

// requireOneWorkflowEach requires that each event is in exactly one workflow.
func (s *temporalServer) requireOneWorkflowEach(t *testing.T, accepted map[hook.EventID]bool) {
	t.Helper()
	workflow := map[hook.EventID]string{}
	for id, list := range s.events() {
		for _, e := range list {
			require.Empty(t, workflow[e], e)
			workflow[e] = id
		}
	}
	require.Len(t, workflow, len(accepted))
}

// Ten minutes without Temporal leave hundreds of thousands of events in the outbox. They are started in groups of
// hundreds.
func TestCatchingUp(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	address := database(t)
	s := process(t, address, 4)
	receiver(t, s)
	accepted := publish(t, s, 20_000)
	temporal := &temporalServer{}
	defer running(t, sweeper(t, s, temporal, 500).Run)()
	await(t, address)
	require.LessOrEqual(t, len(temporal.ids()), 40)
	temporal.requireOneWorkflowEach(t, accepted)
}

// looked counts how often the sweeper has checked its last page.
type looked struct {
	*storage.Store
	times atomic.Int64
}

func (l *looked) Unattempted(ctx context.Context, events []hook.EventID) (int, error) {
	l.times.Add(1)
	return l.Store.Unattempted(ctx, events)
}

// The second page waits until most events of the first have been attempted, but no longer than PaceFor.
func TestPagesWaitForAttempts(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for name, mend := range map[string]func(t *testing.T, conn *pgx.Conn){
		"attempted": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), `update deliveries d set attempts = 1 where not exists (select from outbox o where o.event_id = d.event_id)`)
			require.NoError(t, err)
		},
		"deferred": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			_, err := conn.Exec(t.Context(), `update deliveries d set parked = true where not exists (select from outbox o where o.event_id = d.event_id)`)
			require.NoError(t, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := database(t)
			s := process(t, address, 4)
			receiver(t, s)
			const page = 5000
			accepted := publish(t, s, page+100)
			temporal := &temporalServer{}
			l := &looked{Store: s}
			swept := sweeper(t, s, temporal, 500, func(c *dispatch.SweeperConfig) { c.Store, c.PaceFor = l, time.Hour })
			defer running(t, swept.Run)()
			require.Eventually(t, func() bool { return l.times.Load() >= 3 }, time.Minute, 10*time.Millisecond)
			started := 0
			for _, list := range temporal.events() {
				started += len(list)
			}
			require.Equal(t, page, started)

			conn, err := pgx.Connect(t.Context(), address)
			require.NoError(t, err)
			defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // nothing is lost
			mend(t, conn)
			await(t, address)
			temporal.requireOneWorkflowEach(t, accepted)
		})
	}
}

// If one of several processes has lost its connection to Temporal, the others start everything, each event in one
// workflow.
func TestSweepersOverOneStore(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	address := database(t)
	cut := &temporalServer{start: func(context.Context, string) error { return serviceerror.NewUnavailable("away") }}
	cut.ready = func(ctx context.Context) error { return cut.start(ctx, "") }
	temporal := &temporalServer{}
	first := process(t, address, 4)
	receiver(t, first)
	accepted := publish(t, first, 2_000)
	defer running(t, sweeper(t, first, cut, 50).Run)()
	for range 3 {
		defer running(t, sweeper(t, process(t, address, 4), temporal, 50).Run)()
	}
	for id := range publish(t, first, 2_000) {
		accepted[id] = true
	}
	await(t, address)
	temporal.requireOneWorkflowEach(t, accepted)
}

// With one connection or two, sweeper, reconciler, starter and publishers wait only for each other's statements: none
// of them holds a connection while it asks for another.
func TestFewConnections(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for _, connections := range []int{1, 2} {
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			t.Parallel()
			address := database(t)
			s := process(t, address, connections)
			receiver(t, s)
			temporal := &workflowServer{}
			var starters []func()
			for range 2 {
				swept := sweeper(t, s, &temporal.temporalServer, 50)
				starters = append(starters, running(t, swept.Run))
			}
			for range 2 {
				r := newReconciler(t, temporal, s, func(c *dispatch.ReconcilerConfig) { c.After, c.Interval = time.Millisecond, 10*time.Millisecond })
				starters = append(starters, running(t, r.Run))
			}
			starter := newStarterOver(t, s, &temporal.temporalServer)
			starters = append(starters, running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Minute) }))
			accepted := map[hook.EventID]bool{}
			for range 20 {
				a, err := s.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`{}`)})
				require.NoError(t, err)
				if start, ok := a.Start(); ok {
					starter.Dispatch(start)
				}
				accepted[a.Event.ID] = true
				for id := range publish(t, s, 100) {
					accepted[id] = true
				}
			}
			await(t, address)
			require.Eventually(t, func() bool {
				looks, _ := temporal.seen()
				return len(looks) > 0
			}, time.Minute, 10*time.Millisecond, "the reconciler has had its turn")
			for _, stop := range starters {
				stop()
			}
			temporal.requireOneWorkflowEach(t, accepted)
		})
	}
}

func newStarterOver(t *testing.T, s *storage.Store, temporal *temporalServer) *dispatch.Starter {
	t.Helper()
	starter, err := dispatch.NewStarter(dispatch.StarterConfig{Temporal: temporal, Outbox: s, Logger: slog.New(slog.DiscardHandler), MaxEvents: 50})
	require.NoError(t, err)
	return starter
}

// A starter and the sweepers of other processes name workflows at the same time.
func TestStarterAgainstSweepers(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	address := database(t)
	s := process(t, address, 4)
	receiver(t, s)
	temporal := &temporalServer{}
	starter := newStarterOver(t, s, temporal)
	defer running(t, func(ctx context.Context) error { return starter.Run(ctx, time.Minute) })()
	for range 2 {
		defer running(t, sweeper(t, process(t, address, 4), temporal, 7).Run)()
	}
	accepted := map[hook.EventID]bool{}
	for range 1_000 {
		a, err := s.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`{}`)})
		require.NoError(t, err)
		start, _ := a.Start()
		starter.Dispatch(start)
		accepted[a.Event.ID] = true
	}
	await(t, address)
	temporal.requireOneWorkflowEach(t, accepted)
	for id, list := range temporal.events() {
		for _, e := range list {
			stored, err := s.Event(t.Context(), hook.DefaultTenant(), e)
			require.NoError(t, err)
			require.Equal(t, id, stored.WorkflowID, "what the store says is what was started")
		}
	}
}
