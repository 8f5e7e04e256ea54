package storage_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// jobs publishes n events and returns their jobs for the webhook.
func (f *fixture) jobs(t *testing.T, w hook.Webhook, n int) []hook.Job {
	t.Helper()
	list := make([]hook.Job, n)
	for i := range list {
		var err error
		list[i], err = f.Job(t.Context(), f.delivery(t, w))
		require.NoError(t, err)
	}
	return list
}

// requireNumbered checks that the delivery has so many attempts, numbered without gaps.
func (f *fixture) requireNumbered(t *testing.T, id hook.DeliveryID, attempts int) {
	t.Helper()
	require.Equal(t, attempts, f.read(t, id).Attempts)
	log, err := f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, log, attempts)
	for i, a := range log {
		require.Equal(t, i+1, a.Number)
	}
}

// S13: a retry by hand and the schedule may record attempts of one delivery at the same time. Both are recorded,
// also in shared transactions, and each call gets its own deliveries only.
func TestRecordTheSameDeliveryTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const deliveries = 20
	jobs := f.jobs(t, f.webhook(t), deliveries)
	// A sequence is not rolled back with its transaction, so it counts the tries.
	f.exec(t, `create sequence tried`)
	f.exec(t, `alter table attempts add column try bigint default nextval('tried')`)
	var g errgroup.Group
	for i := range jobs {
		scheduled := []hook.Record{storagetest.RecordOf(&jobs[i], answered(500))}
		if i%2 == 0 { // another call records an attempt by hand, too
			scheduled = append(scheduled, storagetest.RecordOf(&jobs[(i+1)%deliveries], byHand(answered(503))))
		}
		for _, records := range [][]hook.Record{scheduled, {storagetest.RecordOf(&jobs[i], byHand(answered(404)))}} {
			g.Go(func() error {
				found, err := f.recorded(t.Context(), records)
				if err == nil {
					err = sameDeliveries(records, found)
				}
				return err
			})
		}
	}
	require.NoError(t, g.Wait())
	for i := range jobs {
		attempts := 2 + i%2
		f.requireNumbered(t, jobs[i].Delivery.ID, attempts)
		d := f.read(t, jobs[i].Delivery.ID)
		require.Equal(t, 1, d.Scheduled, "attempts by hand leave the schedule as it is")
		require.True(t, d.Outstanding())
	}
	require.Equal(t, scalar[int](t, f, `select count(*) from attempts`), scalar[int](t, f, `select last_value from tried`),
		"no transaction failed on account of the two, to be taken apart and tried again")
}

// sameDeliveries reports whether Record's result is about its own records.
func sameDeliveries(records []hook.Record, found []hook.Delivery) error {
	if len(found) != len(records) {
		return fmt.Errorf("%d deliveries for %d records", len(found), len(records))
	}
	for i := range records {
		own := slices.IndexFunc(found, func(d hook.Delivery) bool { return d.ID == records[i].Delivery.ID })
		if own < 0 {
			return fmt.Errorf("delivery %s is missing", records[i].Delivery.ID)
		}
		// Later attempts of the delivery may have changed anything but the event.
		if found[own].EventID != records[i].Delivery.EventID || found[own].Attempts == 0 {
			return fmt.Errorf("delivery %s is %+v", records[i].Delivery.ID, found[own])
		}
	}
	return nil
}

// Concurrent recordings share transactions, and each gets its own deliveries, as they are then.
func TestRecordTogetherKeepsDeliveriesApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const callers, most = 40, 5
	one, other := f.webhook(t), f.webhook(t, events("user.*"))
	jobs := slices.Concat(f.jobs(t, one, callers*most/2), f.jobs(t, other, callers*most/2))
	var g errgroup.Group
	for i := range callers {
		var records []hook.Record
		for n := range 1 + i%most {
			job := &jobs[i+n*callers]
			a := answered(200)
			if i%2 == 0 {
				a = answered(500 + n)
			}
			records = append(records, storagetest.RecordOf(job, a))
		}
		g.Go(func() error {
			found, err := f.recorded(t.Context(), records)
			if err != nil {
				return err
			}
			if err := sameDeliveries(records, found); err != nil {
				return err
			}
			for _, r := range records {
				d := found[slices.IndexFunc(found, func(d hook.Delivery) bool { return d.ID == r.Delivery.ID })]
				if d.StatusCode != r.Attempt.StatusCode || d.State != r.Verdict.State || d.Attempts != 1 || d.WebhookID != r.Delivery.WebhookID {
					return fmt.Errorf("%+v of %+v", d, r)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	recorded := 0
	for i := range callers {
		recorded += 1 + i%most
	}
	require.Equal(t, recorded, scalar[int](t, f, `select count(*) from attempts`))
	require.Equal(t, recorded, scalar[int](t, f, `select count(*) from deliveries where attempts = 1`))
}

// Spec 9: a record that can't be stored fails its own call, and no other call of its transaction.
func TestRecordTogetherWithOneThatFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const callers = 30
	jobs := f.jobs(t, f.webhook(t), 2*callers)
	f.exec(t, `alter table attempts add constraint fails check (status_code <> 599)`)
	errs := make([]error, callers)
	var g errgroup.Group
	for i := range callers {
		records := []hook.Record{storagetest.RecordOf(&jobs[i], answered(500)), storagetest.RecordOf(&jobs[callers+i], answered(500))}
		if i%3 == 0 {
			records[i%2] = storagetest.RecordOf(&jobs[i%2*callers+i], answered(599))
		}
		g.Go(func() error {
			var found []hook.Delivery
			found, errs[i] = f.recorded(t.Context(), records)
			if errs[i] == nil {
				return sameDeliveries(records, found)
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	for i, err := range errs {
		attempts := [2]int{1, 1}
		if i%3 == 0 {
			requireKind(t, hook.KindInternal, err)
			attempts[i%2] = 0 // the other record is stored
		} else {
			require.NoError(t, err)
		}
		f.requireNumbered(t, jobs[i].Delivery.ID, attempts[0])
		f.requireNumbered(t, jobs[callers+i].Delivery.ID, attempts[1])
	}
}
