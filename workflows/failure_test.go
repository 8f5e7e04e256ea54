package workflows_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// The failure names the first delivery that failed for good; a deferred delivery has not
// failed.
func TestFailureNamesTheFirstFailedDelivery(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		now := w.now()
		a := w.store.AddWebhook(urlA, func(h *hook.Webhook) { h.PausedAt = &now })
		b := w.store.AddWebhook(urlB, nil)
		w.sender.Script(urlB, storagetest.Status(410))
		w.deliver(w.store.Publish(eventType, payload, a, b))
		message, r := w.requireFailed()
		require.Equal(w, "1 of 2 deliveries failed for good; "+b.String()+" failed: HTTP 410 Gone after 1 attempt; 1 waiting for their webhooks", message)
		require.Equal(w, []hook.WebhookID{b, a}, []hook.WebhookID{r.Outcomes[0].WebhookID, r.Outcomes[1].WebhookID})
		require.Contains(w, w.details(), fmt.Sprintf("| `%s` | waiting: paused | 0 |", a))
	})
}
