package delivery_test

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	url     = "https://a.example/a"
	payload = `{"id":"user_123"}`
)

// bench is an engine with a store and receivers in memory.
type bench struct {
	*testing.T
	engine  *delivery.Engine
	store   *storagetest.Store
	sender  *storagetest.Sender
	endRun  func()
	webhook hook.WebhookID
}

// onBench runs the test in a bubble of its own.
func onBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{T: t, store: storagetest.NewStore(time.Now), sender: storagetest.NewSender(time.Now)}
		b.start(b.store)
		b.webhook = b.store.AddWebhook(url, nil)
		test(b)
	})
}

// start starts an engine with a store.
func (b *bench) start(store delivery.Store) {
	b.Helper()
	var err error
	b.engine, err = delivery.New(&delivery.Deps{
		Store: store, Lookup: b.store, DeferredStore: b.store, Drains: b.store, Sender: b.sender,
		Schedule: hook.DefaultSchedule(), Logger: slog.New(slog.DiscardHandler),
		Jitter: func(time.Duration) time.Duration { return 0 },
	})
	require.NoError(b, err)
	b.endRun = b.engine.Begin()
	b.Cleanup(b.endRun)
}

// window lasts as long as one run of an activity.
func (b *bench) window() delivery.Window {
	return b.engine.Window(time.Now().Add(contract.RunTimeout), nil)
}

// publish publishes an event and returns the input of its delivery.
func (b *bench) publish() contract.SliceInput {
	s := b.store.Publish("user.created", payload, b.webhook)
	return contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: s.Deliveries, Of: 1}
}

// Spec 1: a delivery whose attempt failed is outstanding until the next one is due.
func TestDeliver(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		b.sender.Script(url, storagetest.Status(500), storagetest.Status(200))
		in := b.publish()
		report, err := b.engine.Deliver(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.Len(b, report.Outstanding, 1)
		require.Equal(b, 30*time.Second, report.NextIn)
		<-time.After(report.NextIn)
		report, err = b.engine.Deliver(b.Context(), b.window(), in)
		require.NoError(b, err)
		require.Empty(b, report.Outstanding)
		require.Len(b, report.Deliveries, 1)
		require.Equal(b, hook.StateSuccess, report.Deliveries[0].State)
		require.Len(b, b.sender.Requests(url), 2)
	})
}

// An engine that stops begins no request, and leaves the deliveries to another worker.
func TestDeliverWhileStopping(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		in := b.publish()
		b.endRun()
		report, err := b.engine.Deliver(b.Context(), b.window(), in)
		require.ErrorIs(b, err, delivery.ErrStopping)
		require.Len(b, report.Outstanding, 1)
		require.Empty(b, b.sender.Requests(url))
	})
}

// A window that is too short for the longest request and for recording it has no time to wait
// for memory, but uses memory that is free.
func TestDeliverInAShortWindow(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		report, err := b.engine.Deliver(b.Context(), b.engine.Window(time.Now().Add(time.Second), nil), b.publish())
		require.NoError(b, err)
		require.Len(b, report.Deliveries, 1, "the first request is always made")
		for name, use := range b.engine.MemoryUse() {
			require.Zero(b, use.Used, name)
		}
	})
}

// An error of the engine names the step that failed.
func TestSendNowOfAnUnknownDelivery(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		_, err := b.engine.SendNow(b.Context(), b.window(), hook.DeliveryID{9})
		var failed *delivery.StepError
		require.ErrorAs(b, err, &failed)
		require.Equal(b, "load delivery", failed.Step)
		require.Equal(b, hook.KindNotFound, hook.KindOf(err))
		require.Empty(b, delivery.LimitReason(err))
	})
}

// lockedStore can't record results of a webhook until it is unlocked: another session has locked the webhook's row.
type lockedStore struct {
	*storagetest.Store
	webhook  hook.WebhookID
	unlocked chan struct{}
}

func (s *lockedStore) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	if slices.ContainsFunc(records, func(r hook.Record) bool { return r.Delivery.WebhookID == s.webhook }) {
		<-s.unlocked
	}
	return s.Store.Record(ctx, records)
}

// A result that can't be recorded for now does not delay the results of other webhooks in the same run.
func TestRecordingBesideOneThatWaits(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		const other, late = "https://b.example/b", "https://c.example/c"
		store := &lockedStore{Store: b.store, webhook: b.webhook, unlocked: make(chan struct{})}
		b.start(store)
		webhooks := []hook.WebhookID{b.webhook, b.store.AddWebhook(other, nil), b.store.AddWebhook(late, nil)}
		b.sender.Script(url, storagetest.Status(500))
		b.sender.Script(other, storagetest.Status(200).After(time.Millisecond))
		b.sender.Script(late, storagetest.Status(200).After(2*time.Second))
		s := b.store.Publish("user.created", payload, webhooks...)
		in := contract.SliceInput{EventIDs: []hook.EventID{s.EventID}, Deliveries: s.Deliveries, Of: 1}
		var report delivery.Report
		ended := make(chan error, 1)
		go func() {
			var err error
			report, err = b.engine.Deliver(b.Context(), b.window(), in)
			ended <- err
		}()
		<-time.After(time.Second)
		require.Equal(b, hook.StatePending, b.store.Delivery(webhooks[0]).State)
		require.Equal(b, hook.StateSuccess, b.store.Delivery(webhooks[1]).State)
		require.Equal(b, hook.StatePending, b.store.Delivery(webhooks[2]).State)
		<-time.After(2 * time.Second)
		require.Equal(b, hook.StateSuccess, b.store.Delivery(webhooks[2]).State)
		close(store.unlocked)
		require.NoError(b, <-ended)
		require.Len(b, report.Outstanding, 1)
		require.Equal(b, 1, b.store.Delivery(webhooks[0]).Attempts)
	})
}
