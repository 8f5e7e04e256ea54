package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// publishingStore publishes an operational event with each recording.
type publishingStore struct {
	*storagetest.Store
	published []hook.Start
}

func (s *publishingStore) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	recorded, err := s.Store.Record(ctx, records)
	start := hook.Start{EventID: hook.EventID{byte(len(s.published) + 1)}, EventType: hook.TypeDeliveryFailed, Deliveries: 1}
	s.published = append(s.published, start)
	recorded.Starts = append(recorded.Starts, start)
	return recorded, err
}

// dispatched collects the starts that were dispatched.
type dispatched struct{ starts []hook.Start }

func (d *dispatched) Dispatch(start hook.Start) { d.starts = append(d.starts, start) }

// The store starts no workflows: the activity dispatches the operational events that a recording has published.
func TestOperationalEventsAreDispatched(t *testing.T) {
	t.Parallel()
	var store *publishingStore
	var dispatcher dispatched
	onBench(t, func(b *bench) {
		webhook := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Status(503))
		_, err := b.deliver(b.store.Publish(eventType, payload, webhook))
		b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Len(b, store.published, 1)
		require.Equal(b, store.published, dispatcher.starts)
	}, func(d *activities.Deps) {
		store = &publishingStore{Store: d.Store.(*storagetest.Store)}
		d.Store, d.Dispatcher = store, &dispatcher
	})
}
