package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/storage/storagetest"
)

// An attempt that was in progress when its webhook ended counts if it succeeded. If it failed, its delivery is
// canceled, also while the pages of the cancellation are not done.
func TestRecordingARevokedDelivery(t *testing.T) {
	t.Parallel()
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			ids := f.deliverN(t, w, 4)
			var jobs []hook.Job
			for _, id := range ids {
				job, err := f.Job(t.Context(), id)
				require.NoError(t, err)
				jobs = append(jobs, job)
			}
			unlock := f.locked(t, ids...)
			c.end(t, f, w)
			unlock()
			require.Equal(t, 4, f.pendingRows(t, w))

			require.Equal(t, hook.StateSuccess, f.record(t, storagetest.RecordOf(&jobs[0], answered(200))).State)
			final := storagetest.RecordOf(&jobs[2], answered(500))
			final.Verdict.Retry = false
			for i, r := range []hook.Record{storagetest.RecordOf(&jobs[1], answered(500)), final, storagetest.RecordOf(&jobs[3], byHand(answered(500)))} {
				d := f.record(t, r)
				require.Equal(t, hook.StateCanceled, d.State, i)
				require.Equal(t, c.reason, d.Error, i)
				require.Equal(t, 1, d.Attempts, i)
				require.Equal(t, d, f.read(t, d.ID), i)
			}
			require.Zero(t, f.pendingRows(t, w))
		})
	}
}

// A 410 does not affect other records of its statement, and does not wait for its webhook's backlog to be
// canceled.
func TestGoneTakesNoNeighbourAlong(t *testing.T) {
	t.Parallel()
	f := setup(t)
	gone, other := f.webhook(t), f.webhook(t)
	backlog := f.deliverN(t, gone, 3)
	f.locked(t, backlog...)
	list, err := f.DeliveriesOfEvent(t.Context(), f.publish(t, "user.created").Event.ID, 10)
	require.NoError(t, err)
	var records []hook.Record
	for i := range list {
		job, err := f.Job(t.Context(), list[i].ID)
		require.NoError(t, err)
		status := 200
		if job.Webhook.ID == gone.ID {
			status = 410
		}
		records = append(records, storagetest.RecordOf(&job, answered(status)))
	}
	found, err := f.recorded(t.Context(), records)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, hook.ReasonGone, f.reason(t, gone))
	require.Equal(t, "healthy", f.status(t, other))
}

// An attempt that is recorded again while the first recording is still committing is recorded once.
func TestRecordedOnceBesideItsOwnCommit(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, f.delivery(t, w), answered(500)) // so that the next failure locks no webhook's row first
	for range 4 {
		f.attempt(t, f.delivery(t, w), answered(500))
	}
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	r := storagetest.RecordOf(&job, answered(500))
	// The first recording's transaction stops before its commit while the test holds this advisory lock, as it
	// would on a disk that hangs.
	f.exec(t, `create function stall() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return null; end $$`)
	f.exec(t, `create constraint trigger stall after insert on attempts deferrable initially deferred for each row execute function stall()`)
	disk, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer func(ctx context.Context) { _ = disk.Rollback(ctx) }(context.WithoutCancel(t.Context())) // after the commit it fails
	_, err = disk.Exec(t.Context(), `select pg_advisory_xact_lock(4711)`)
	require.NoError(t, err)
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			return scalar[int](t, f, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == n
		}, 10*time.Second, 5*time.Millisecond)
	}
	other := open(t, f.url, encryptionKey) // a store of its own, since one store would wait for its own first statement
	results := make(chan []hook.Delivery, 2)
	record := func(record func(context.Context, []hook.Record) (hook.Recorded, error)) {
		found, err := record(t.Context(), []hook.Record{r})
		if err != nil {
			t.Error(err)
		}
		results <- found.Deliveries
	}
	go record(f.Record)
	waiting(1)
	go record(other.Record)
	waiting(2)
	require.NoError(t, disk.Commit(t.Context()))
	for range 2 {
		found := <-results
		require.Len(t, found, 1)
		require.Equal(t, 1, found[0].Attempts)
	}
	require.Equal(t, 1, f.read(t, id).Scheduled)
	require.Len(t, must(f.Attempts(t.Context(), id)), 1)
}
