package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// Deferred deliveries are shown as waiting, after the failed ones.
func TestOutcomesOfDeferredDeliveries(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		now := time.Now()
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.PausedAt = &now })
		c := b.store.AddWebhook(urlB, func(h *hook.Webhook) { h.MaxAttempts = 1 })
		b.sender.Script(urlB, storagetest.Status(500))
		r, err := b.deliver(b.store.Publish(eventType, payload, a, c))
		require.NoError(b, err)
		require.Equal(b, []int{1, 1}, []int{r.Failed, r.Deferred})
		require.Equal(b, c.String()+" failed: HTTP 500 Internal Server Error after 1 attempt", r.FirstFailed())
		require.Equal(b, a, r.Outcomes[1].WebhookID)
		require.Equal(b, hook.WaitPaused, r.Outcomes[1].Deferred)
		require.Empty(b, r.Outcomes[1].NextAt, "nobody knows when")
	})
}
