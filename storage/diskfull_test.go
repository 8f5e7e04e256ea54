package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage/storagetest"
)

// fillDisk makes PostgreSQL answer writes to a table as it does on a full disk, until end is called.
func (f *fixture) fillDisk(t *testing.T, table string) (end func()) {
	t.Helper()
	f.exec(t, `create or replace function disk_full() returns trigger language plpgsql as $$
		begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`)
	f.exec(t, `create trigger disk_full before insert or update on `+table+` for each statement execute function disk_full()`)
	return func() { f.exec(t, `drop function disk_full cascade`) }
}

// everything counts the rows of all tables that a publish writes.
func (f *fixture) everything(t *testing.T) int {
	t.Helper()
	return scalar[int](t, f, `select (select count(*) from events) + (select count(*) from deliveries) + (select count(*) from outbox)
		+ (select count(*) from idempotency_keys) + (select count(*) from topics)`)
}

// Spec 6, 10: if the disk is full for any of its tables, a publish is answered with 503 and stores nothing, not
// even its key or a topic's number. Once there is room, the same publish is accepted as if it were the first.
func TestPublishOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"events", "deliveries", "outbox", "idempotency_keys", "topics"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			if table != "deliveries" {
				longtest.Only(t)
			}
			f := setup(t)
			f.webhook(t)
			keyed := hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: eventData(), IdempotencyKey: "order 7"}
			message := hook.Publication{TenantID: hook.DefaultTenant(), Type: "chatter", Cache: "squirrels", Data: []byte(`"hello"`)}
			list := []hook.Publication{keyed, message}

			needed := list
			if table == "idempotency_keys" {
				needed = list[:1] // the message shares no statement with events that need a key
			}

			end := f.fillDisk(t, table)
			_, errs := f.PublishAll(t.Context(), needed)
			for _, err := range errs {
				requireKind(t, hook.KindUnavailable, err)
			}
			require.Zero(t, f.everything(t))
			end()

			accepted, errs := f.PublishAll(t.Context(), list)
			require.Equal(t, []error{nil, nil}, errs)
			require.False(t, accepted[0].Duplicate)
			require.Equal(t, 1, accepted[0].Event.Deliveries)
			require.EqualValues(t, 1, accepted[1].Event.Sequence)
		})
	}
}

// Spec 9: a full disk uses up no attempt. The attempt is recorded once there is room, and counts once.
func TestRecordOnAFullDisk(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"deliveries", "attempts", "webhooks"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			if table != "attempts" {
				longtest.Only(t)
			}
			f := setup(t)
			id := f.delivery(t, f.webhook(t))
			job, err := f.Job(t.Context(), id)
			require.NoError(t, err)
			r := storagetest.RecordOf(&job, answered(500)) // an attempt that changes the webhook's health, too

			end := f.fillDisk(t, table)
			for range 3 {
				_, err := f.Record(t.Context(), []hook.Record{r})
				requireKind(t, hook.KindUnavailable, err)
			}
			require.Zero(t, f.read(t, id).Attempts)
			require.Zero(t, scalar[int](t, f, `select count(*) from attempts`))
			require.Equal(t, "healthy", f.status(t, *job.Webhook))
			end()

			d := f.record(t, r)
			require.Equal(t, 1, d.Attempts)
			require.True(t, d.Outstanding())
			require.Equal(t, 1, f.record(t, r).Attempts, "recording again records nothing")
		})
	}
}

// M7: a message that can't be claimed because the disk is full is not sent. It can be claimed later.
func TestClaimOnAFullDisk(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	end := f.fillDisk(t, "deliveries")
	_, err := f.ClaimDeliveries(t.Context(), wanted(t, f.Store, id), hook.Claim{1})
	requireKind(t, hook.KindUnavailable, err)
	require.Equal(t, hook.StatePending, f.read(t, id).State)
	end()
	claimed, err := f.ClaimDeliveries(t.Context(), wanted(t, f.Store, id), hook.Claim{2})
	require.NoError(t, err)
	require.Equal(t, []hook.DeliveryID{id}, claimed)
}
