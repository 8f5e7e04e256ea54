package storage_test

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/storage/storagetest"
)

// publishOf accepts an event whose data has n bytes.
func (f *fixture) publishOf(t *testing.T, n int) hook.Event {
	t.Helper()
	a, err := f.Publish(t.Context(), hook.Publication{
		TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`"` + strings.Repeat("é", n)[:n-2] + `"`),
	})
	require.NoError(t, err)
	return a.Event
}

// C6: data over 2 KiB is left out wherever jobs are loaded, and is loaded by itself.
func TestLargePayloadsAreLeftOut(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	small, large := f.publishOf(t, hook.MaxInline), f.publishOf(t, hook.MaxInline+2)
	ids := []hook.EventID{small.ID, large.ID}
	check := func(jobs []hook.Job) {
		t.Helper()
		require.Len(t, jobs, 2)
		for _, job := range jobs {
			if job.Event.ID == small.ID {
				require.Equal(t, small, job.Event)
				require.Zero(t, job.PayloadSize)
				continue
			}
			require.Nil(t, job.Event.Data)
			require.Equal(t, hook.MaxInline+2, job.PayloadSize)
			job.Event.Data = large.Data
			require.Equal(t, large, job.Event, "all else is there")
		}
	}
	jobs := must(f.Outstanding(t.Context(), ids, 0, 1))
	check(jobs)
	check([]hook.Job{must(f.Job(t.Context(), jobs[0].Delivery.ID)), must(f.Job(t.Context(), jobs[1].Delivery.ID))})
	require.NoError(t, f.Defer(t.Context(), []hook.DeliveryID{jobs[0].Delivery.ID, jobs[1].Delivery.ID}, []hook.WebhookID{w.ID}))
	check(must(f.Deferred(t.Context(), w.ID, 10)).Jobs)

	payloads := must(f.Payloads(t.Context(), append(ids, hook.EventID{1})))
	require.Equal(t, map[hook.EventID][]byte{small.ID: small.Data, large.ID: large.Data}, payloads, "what is gone is left out")
	require.Empty(t, must(f.Payloads(t.Context(), nil)))
}

// C6: a large payload arrives whole.
func TestLargePayloadIsSentWhole(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.webhook(t, func(w *hook.Webhook) { w.URL = "https://one.example/" })
	f.webhook(t, func(w *hook.Webhook) { w.URL = "https://two.example/" })
	event := f.publishOf(t, 100<<10)
	sender := storagetest.NewSender(time.Now)
	double := storagetest.NewStore(time.Now)
	engine, err := delivery.New(&delivery.Deps{
		Store: f, Lookup: f, DeferredStore: f, Drains: double, Sender: sender, Schedule: hook.DefaultSchedule(), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	t.Cleanup(engine.Begin())
	report, err := engine.Deliver(t.Context(), engine.Window(time.Now().Add(time.Minute), nil), contract.SliceInput{
		EventIDs: []hook.EventID{event.ID}, Deliveries: 2, Of: 1,
	})
	require.NoError(t, err)
	require.Empty(t, report.Outstanding)
	for _, url := range []string{"https://one.example/", "https://two.example/"} {
		list := sender.Requests(url)
		require.Len(t, list, 1)
		require.Equal(t, string(payload.StandardBody(&event)), string(list[0].Body))
	}
	require.Zero(t, engine.MemoryUse()["payloads"].Used)
}

// S3: deliveries whose webhook's secrets can't be read fail for good when they are old enough, without an attempt.
// They don't count towards the five days of failing: the endpoint got no request.
func TestExpireUnreadable(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, ops := f.webhook(t), f.operational(t)
	var ids []hook.DeliveryID
	for range 5 {
		ids = append(ids, f.delivery(t, w))
	}
	f.exec(t, `update deliveries set created_at = now() - interval '24 hours 1 second' where id <> $1`, [16]byte(ids[0]))
	f.exec(t, `update deliveries set state = 'sending' where id = $1`, [16]byte(ids[1]))
	f.attempt(t, ids[2], answered(500))
	f.attempt(t, ids[3], answered(200))
	since := scalar[*time.Time](t, f, `select failing_since from webhooks where id = $1`, [16]byte(w.ID))
	expired := must(f.ExpireUnreadable(t.Context(), ids, hook.DeferredFor)).Deliveries
	require.ElementsMatch(t, []hook.DeliveryID{ids[2], ids[4]}, expired, "not the young, those under way, or those that have ended")
	require.Empty(t, must(f.ExpireUnreadable(t.Context(), ids, hook.DeferredFor)).Deliveries)
	for i, attempts := range map[int]int{2: 1, 4: 0} {
		d := f.read(t, ids[i])
		require.Equal(t, hook.StateFailed, d.State)
		require.Equal(t, "Signing secret unavailable", d.Error)
		require.Equal(t, attempts, d.Attempts)
		require.False(t, d.Outstanding())
	}
	require.Equal(t, "failed", f.status(t, w))
	require.Equal(t, since, scalar[*time.Time](t, f, `select failing_since from webhooks where id = $1`, [16]byte(w.ID)))
	_, data := f.told(t, ops)
	require.Len(t, data, 2)
	require.Equal(t, "Signing secret unavailable", data[0]["error"])

	// The time of a pause does not count.
	paused := f.delivery(t, w)
	f.exec(t, `update deliveries set created_at = now() - interval '3 days' where id = $1`, [16]byte(paused))
	f.exec(t, `update webhooks set resumed_at = now() - interval '1 hour' where id = $1`, [16]byte(w.ID))
	require.Empty(t, must(f.ExpireUnreadable(t.Context(), []hook.DeliveryID{paused}, hook.DeferredFor)).Deliveries)
}
