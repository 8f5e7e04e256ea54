package activities_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// A recorded attempt holds none of a webhook's credentials, even if its receiver returns them.
func TestEchoesAreRecordedBlank(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(w *hook.Webhook) {
			w.Headers = map[string]hook.Secret{"Authorization": "Bearer hunter2"}
		})
		b.sender.Script(urlA, storagetest.Status(200).Body(`{"authorization":"Bearer hunter2"}`))
		_, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.NoError(b, err)
		logged := b.store.Log(b.store.Delivery(a).ID)
		require.Len(b, logged, 1)
		require.JSONEq(b, `{"authorization":"***"}`, string(logged[0].ResponseBody))
		require.Equal(b, "Bearer hunter2", b.sender.Requests(urlA)[0].Header.Get("Authorization"))
	})
}
