package storage_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage/storagetest"
)

// holdOpen runs a statement, usually to lock rows, in a transaction of another session. It stays open until letGo
// is called.
func (f *fixture) holdOpen(t *testing.T, sql string, args ...any) (letGo func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), f.url)
	require.NoError(t, err)
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
	letGo = sync.OnceFunc(func() { _ = conn.Close(context.WithoutCancel(t.Context())) }) // which rolls back
	t.Cleanup(letGo)
	return letGo
}

// inTime returns a context with the longest time that a client of the API waits.
func inTime(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Spec 9: another session holds a lock that some publications need, and clients keep publishing them. All others
// are stored; these are refused in time, or stored once the lock is free.
func TestPublishBesideAHeldLock(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	message := func(topic string) hook.Publication {
		return hook.Publication{TenantID: hook.DefaultTenant(), Type: topic, Cache: "chat", Data: []byte(`"x"`)}
	}
	for name, c := range map[string]struct {
		held    hook.Publication
		sql     string
		args    []any
		other   func(n int) hook.Publication
		without bool // the lock is held before the first publication
	}{
		"topic": {
			held: message("room"), sql: `select from topics for update`,
			other: func(n int) hook.Publication { return message("hall" + strconv.Itoa(n%10)) },
		},
		"key": {
			held: publication("order-1", `1`),
			sql: `insert into idempotency_keys (tenant_id, key, fingerprint, event_id, expires_at)
				values ($1, 'order-1', sha256(''), gen_random_uuid(), now() + interval '1 day')`,
			args:  []any{[16]byte(hook.DefaultTenant())},
			other: func(n int) hook.Publication { return publication("order-2-"+strconv.Itoa(n), `1`) }, without: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			f.webhook(t, events("*"))
			if !c.without {
				_, err := f.Publish(t.Context(), c.held)
				require.NoError(t, err)
			}
			letGo := f.holdOpen(t, c.sql, c.args...)
			ctx, stop := context.WithCancel(t.Context())
			var asking, others errgroup.Group
			var refused atomic.Int64
			for range 4 {
				asking.Go(func() error {
					for ctx.Err() == nil {
						_, err := f.Publish(inTime(t), c.held)
						if err == nil {
							return nil
						}
						if hook.KindOf(err) != hook.KindUnavailable {
							return err
						}
						refused.Add(1)
					}
					return nil
				})
			}
			for n := range 8 {
				others.Go(func() error {
					for i := range 50 {
						for _, p := range []hook.Publication{publication("", `2`), c.other(n*50 + i)} {
							if _, err := f.Publish(inTime(t), p); err != nil {
								return err
							}
						}
					}
					return nil
				})
			}
			require.NoError(t, others.Wait(), "none of the others is refused")
			require.Eventually(t, func() bool { return refused.Load() > 0 }, time.Minute, 10*time.Millisecond)
			letGo()
			require.NoError(t, asking.Wait(), "they are stored once the lock is gone")
			stop()
			require.Equal(t, 400, scalar[int](t, f, `select count(*) from events where data = '2'`))
		})
	}
}

// Spec 9: a list's items that can be stored are accepted, even if others can't be stored within the caller's time.
func TestPublishAllWhenTimeIsUp(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.webhook(t)
	message(t, f.Store, room(), "first")
	f.holdOpen(t, `select from topics for update`)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	list := []hook.Publication{
		publication("", `1`),
		{TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room", Data: []byte(`"x"`)},
		publication("order-1", `2`),
	}
	accepted, errs := f.PublishAll(ctx, list)
	require.NoError(t, errs[0])
	requireKind(t, hook.KindUnavailable, errs[1])
	require.NoError(t, errs[2])
	require.Zero(t, accepted[1])
	for _, i := range []int{0, 2} {
		e, err := f.Event(t.Context(), hook.DefaultTenant(), accepted[i].Event.ID)
		require.NoError(t, err)
		require.Equal(t, list[i].Data, e.Data)
	}
}

// Spec 9: another session locks the row of a webhook or a delivery. Attempts of others are recorded, and these
// once the lock is free.
func TestRecordBesideAHeldLock(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for name, c := range map[string]struct{ status int }{"webhook": {500}, "delivery": {200}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			const others = 60
			one, other := f.webhook(t), f.webhook(t)
			held := f.jobs(t, one, 5)
			rest := f.jobs(t, other, others+1)
			letGo := f.holdOpen(t, map[string]string{
				"webhook":  `select from webhooks where id = $1 for update`,
				"delivery": `select from deliveries where webhook_id = $1 for update`,
			}[name], [16]byte(one.ID))
			var asking, recording errgroup.Group
			ask := func(records ...hook.Record) { // as an activity does
				asking.Go(func() error {
					for {
						_, err := f.Record(inTime(t), records)
						if hook.KindOf(err) != hook.KindUnavailable {
							return err
						}
					}
				})
			}
			for i := range held[1:] {
				ask(storagetest.RecordOf(&held[1+i], answered(c.status)))
			}
			ask(storagetest.RecordOf(&rest[others], answered(500)), storagetest.RecordOf(&held[0], answered(500))) // one of each webhook: they don't wait for each other
			for i := range others {
				recording.Go(func() error {
					_, err := f.Record(inTime(t), []hook.Record{storagetest.RecordOf(&rest[i], answered(500-300*(i%2)))})
					return err
				})
			}
			require.NoError(t, recording.Wait(), "none of the others is refused")
			require.Eventually(t, func() bool { return scalar[int](t, f, `select count(*) from attempts`) == others+1 }, 30*time.Second, 10*time.Millisecond)
			letGo()
			require.NoError(t, asking.Wait())
			require.Equal(t, others+len(held)+1, scalar[int](t, f, `select count(*) from attempts`))
		})
	}
}

// Spec 9: a list is stored however many webhooks each of its events has: one statement creates a limited number of
// deliveries.
func TestPublishAllTimesFanOut(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	tenant := f.tenant(t, "large")
	const webhooks, batch = 700, 60
	f.webhook(t)
	first := f.webhook(t, events("*"), ofTenant(tenant))
	f.exec(t, `insert into webhooks (id, tenant_id, profile, url, events, secret, active, timeout_ms, max_attempts, created_at, updated_at)
		select gen_random_uuid(), tenant_id, profile, url, events, secret, active, timeout_ms, max_attempts, created_at, updated_at
		from webhooks w, generate_series(2, $2) where w.id = $1`, [16]byte(first.ID), webhooks)
	f.exec(t, `insert into subscriptions (tenant_id, pattern, webhook_id) select tenant_id, '*', id from webhooks where tenant_id = $1 on conflict do nothing`, [16]byte(tenant))
	f.exec(t, `analyze`)
	one := hook.Publication{TenantID: tenant, Type: "user.created", Data: eventData()}
	_, err := f.Publish(t.Context(), one)
	require.NoError(t, err)
	list := make([]hook.Publication, batch)
	for i := range list {
		list[i] = one
	}
	var g errgroup.Group
	g.Go(func() error {
		_, errs := f.PublishAll(t.Context(), list)
		for _, err := range errs {
			if err != nil {
				return err
			}
		}
		return nil
	})
	for range 5 {
		g.Go(func() error {
			_, err := f.Publish(inTime(t), publication("", `1`))
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, (batch+1)*webhooks, scalar[int](t, f, `select count(*) from deliveries where tenant_id = $1`, [16]byte(tenant)))
	require.LessOrEqual(t, scalar[int](t, f, `select max(n) from (select count(*) as n from deliveries group by xmin) d`), 5000)
}
