package storage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Design 3: the sweeper sees what was accepted longer ago than its age, oldest
// first, until it is started.
func TestOutbox(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) { w.URL = "https://example.com:8443/x" })
	gone := f.webhook(t)
	oldest := f.publish(t, "user.created")
	young := f.publish(t, "user.created")
	middle := f.publish(t, "user.created")
	f.publish(t, "file.uploaded") // nothing matches: nothing to start
	f.exec(t, `update outbox set created_at = now() - interval '1 minute' where event_id = $1`, middle.Event.ID[:])
	f.exec(t, `update outbox set created_at = now() - interval '1 hour' where event_id = $1`, oldest.Event.ID[:])

	starts, err := f.Unstarted(t.Context(), 5*time.Second, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Equal(t, []hook.EventID{oldest.Event.ID, middle.Event.ID}, ids(starts), "oldest first, the young one not yet")
	require.Equal(t, hook.Start{
		EventID: oldest.Event.ID, TenantID: hook.DefaultTenant(), EventType: "user.created", Deliveries: 2, Targets: oldest.Targets,
	}, starts[0], "what the publish itself would have started")

	starts, err = f.Unstarted(t.Context(), 5*time.Second, hook.EventID{}, 1)
	require.NoError(t, err)
	require.Equal(t, []hook.EventID{oldest.Event.ID}, ids(starts))
	starts, err = f.Unstarted(t.Context(), 0, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Len(t, starts, 3)

	require.NoError(t, f.Started(t.Context(), []hook.EventID{oldest.Event.ID, young.Event.ID}))
	require.NoError(t, f.Started(t.Context(), []hook.EventID{oldest.Event.ID}), "once more is no error")
	require.NoError(t, f.DeleteWebhook(t.Context(), hook.DefaultTenant(), gone.ID))
	starts, err = f.Unstarted(t.Context(), 0, hook.EventID{}, 10)
	require.NoError(t, err)
	require.Len(t, starts, 1)
	require.Equal(t, middle.Event.ID, starts[0].EventID)
	require.Equal(t, []hook.Target{{WebhookID: w.ID, Host: "example.com:8443"}, {WebhookID: gone.ID}}, starts[0].Targets,
		"a webhook that is gone has no host")
}

func ids(starts []hook.Start) []hook.EventID {
	var list []hook.EventID
	for _, s := range starts {
		list = append(list, s.EventID)
	}
	return list
}

// Design 3: one sweeper at a time, in all processes.
func TestExclusively(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := open(t, f.url, encryptionKey)
	ran, err := f.Exclusively(t.Context(), func(ctx context.Context) error {
		ran, err := other.Exclusively(ctx, func(context.Context) error {
			t.Error("two at once")
			return nil
		})
		require.NoError(t, err)
		require.False(t, ran)
		return nil
	})
	require.NoError(t, err)
	require.True(t, ran)

	broken := errors.New("broken")
	ran, err = other.Exclusively(t.Context(), func(context.Context) error { return broken })
	require.ErrorIs(t, err, broken)
	require.True(t, ran)
	ran, err = f.Exclusively(t.Context(), func(context.Context) error { return nil })
	require.NoError(t, err)
	require.True(t, ran, "the lock was let go, after an error too")
}
