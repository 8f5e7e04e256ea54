package crash_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
	"grapnel/internal/pgtest"
	"grapnel/storage"
)

// template is the content of the tests' databases.
func template() pgtest.Template {
	return pgtest.Template{
		Key:     storage.MigrationsKey(),
		Migrate: func(ctx context.Context, url string) error { _, err := storage.Migrate(ctx, url); return err },
	}
}

// database returns the URL of an empty store and a connection to it.
func database(t *testing.T) (string, *pgx.Conn) {
	t.Helper()
	url := pgtest.New(t, template())
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return url, conn
}

// store stores an event with a deferred delivery for a webhook.
func store(t *testing.T, conn *pgx.Conn, event, delivery, webhook, eventType, ref string) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `
		with e as (
			insert into events (id, tenant_id, type, data, deliveries, created_at)
			select $1, id, $4, $5, 1, now() from tenants order by id limit 1 returning tenant_id)
		insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked)
		select $2, $1, $3, tenant_id, $4, 'pending', now(), now(), now(), true from e`,
		event, delivery, webhook, eventType, []byte(crash.DataOf(ref)))
	require.NoError(t, err)
}

// A backlog consists of copies of an event that differ only in their ids and references, and is not part of the
// evidence.
func TestBacklog(t *testing.T) {
	t.Parallel()
	url, conn := database(t)
	const size = 30
	template := &crash.Publication{Ref: "backlog.gone.0.0.1", ID: idAt(0)}
	store(t, conn, template.ID, id(21), id(1), "backlog.gone", template.Ref)
	store(t, conn, id(12), id(22), id(2), "crash.user.created", "7.0.1")
	store(t, conn, id(13), id(23), id(2), "large.created", "large.7.0")

	last, err := crash.CopyEvent(t.Context(), url, template, size)
	require.NoError(t, err)
	rows, err := conn.Query(t.Context(), `
		select e.id::text as event, d.id::text as delivery, e.data, d.parked and d.state = 'pending' as waits, d.next_attempt_at as at
		from deliveries d join events e on e.id = d.event_id where d.webhook_id = $1 order by d.next_attempt_at`, id(1))
	require.NoError(t, err)
	type copied struct {
		Event, Delivery string
		Data            []byte
		Waits           bool
		At              time.Time
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[copied])
	require.NoError(t, err)
	require.Len(t, list, size)
	require.Equal(t, last, list[size-1].Delivery)
	seen := map[string]bool{}
	for _, c := range list {
		require.True(t, c.Waits)
		require.Equal(t, template.ID[:15], c.Event[:15], "of the same time")
		seen[c.Event], seen[c.Delivery], seen[crash.RefOf(c.Data)] = true, true, true
	}
	require.Len(t, seen, 3*size)
	require.NotContains(t, seen, "")

	s, err := crash.ReadStore(t.Context(), url, id(1))
	require.NoError(t, err)
	require.Len(t, s.Deliveries, 2)
	require.Len(t, s.Events, 2)
	require.Equal(t, "7.0.1", s.Events[0].Ref())
	require.Equal(t, "large.7.0", s.Events[1].Ref())
	require.Less(t, len(s.Events[1].Data), 1000, "its padding is left out")
}

// An event that cannot be copied gives an error and no backlog.
func TestNoBacklog(t *testing.T) {
	t.Parallel()
	url, conn := database(t)
	store(t, conn, idAt(0), id(21), id(1), "backlog.gone", "backlog.gone.0.0.1")
	_, err := conn.Exec(t.Context(), `update deliveries set parked = false`)
	require.NoError(t, err)
	_, err = crash.CopyEvent(t.Context(), url, &crash.Publication{Ref: "backlog.gone.0.0.1", ID: idAt(0)}, 10)
	require.ErrorContains(t, err, "0 of them deferred")
}
