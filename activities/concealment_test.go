package activities_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// The stored attempt, which the tenant reads, does not reveal whether a name exists in the
// internal network; the operator's log does.
func TestNamesInsideAreConcealed(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(w *hook.Webhook) { w.MaxAttempts = 1 })
		b.sender.Script(urlA, storagetest.BlockedByName(time.Millisecond))
		_, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.NoError(b, err)
		d := b.store.Delivery(a)
		require.Equal(b, "DNS lookup failed", d.Error)
		logged := b.store.Log(d.ID)
		require.Len(b, logged, 1)
		require.Equal(b, hook.ClassDNS, logged[0].Class)
		require.Zero(b, logged[0].Timings)
		require.Contains(b, b.log.String(), `"error_class":"blocked"`)
	})
}
