package activities_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/activities"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// requests is a delivery.Metrics that keeps all counts.
type requests struct {
	mu       sync.Mutex
	inFlight int
	most     int
	notSent  int
	told     []string
}

func (r *requests) Sending(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight += n
	r.most = max(r.most, r.inFlight)
}

func (r *requests) Attempted(job *hook.Job, sent *hook.Attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, fmt.Sprintf("%s %d %s", job.Webhook.Profile, sent.Number, sent.Outcome()))
}

func (*requests) Immediate(bool) {}

func (r *requests) NotSent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notSent++
}

// Every request is counted. A request that could not be made is counted apart.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	m := &requests{}
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		b.sender.Script(urlA, storagetest.Ours(errors.New("no sockets")), storagetest.Status(500), storagetest.Status(204))
		s := b.store.Publish(eventType, payload, a)
		_, err := b.deliver(s)
		require.Error(b, err)
		require.Equal(b, 1, m.notSent)
		require.Empty(b, m.told)
		_, err = b.deliver(s)
		require.Error(b, err)
		_, err = b.sendNow(b.store.Delivery(a))
		require.NoError(b, err)
		require.Equal(b, []string{"standard 1 http_5xx", "standard 2 success"}, m.told)
		require.Equal(b, 1, m.most)
		require.Zero(b, m.inFlight)
	}, func(d *activities.Deps) { d.Metrics = m })
}
