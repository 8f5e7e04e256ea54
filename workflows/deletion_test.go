package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
	"grapnel/workflows"
)

// K8: the workflow deletes the tenant, and survives hours without the store.
func TestDeleteTenant(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		id := w.store.AddWebhook(urlA, nil)
		for range 300 {
			w.store.Publish(eventType, payload, id)
		}
		w.store.DeleteTenant()
		back := w.now().Add(3 * hour)
		w.store.Fail = func(op string) error {
			if op == storagetest.OpDeletionStep && w.now().Before(back) {
				return hook.Unavailable("the store", errors.New("away"))
			}
			return nil
		}
		options, input := workflows.DeletionStart(hook.DefaultTenant())
		require.Equal(w, hook.DefaultTenant().String()+"-delete", options.ID)
		var result contract.DeletionResult
		w.run(options, contract.NameDeleteTenant, input, &result)
		require.NoError(w, w.failure)
		require.Equal(w, contract.DeletionResult{Webhooks: 1, Events: 300, Deliveries: 300, Canceled: 300}, result)
		require.Empty(w, w.store.Deliveries(id))
		require.WithinDuration(w, back, w.now(), time.Minute)
	})
}
