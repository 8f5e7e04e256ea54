package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// An event keeps its place in its publish's trace. The start of its workflow, also after a crash, and its requests
// continue that trace.
func TestTracesAreKept(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, func(w *hook.Webhook) { w.TraceContext = true })
	place := hook.Trace{TraceID: [16]byte{1, 15: 2}, SpanID: [8]byte{3, 7: 4}, Flags: 1}
	a, err := f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: eventData(), Trace: place})
	require.NoError(t, err)
	untraced := f.publish(t, "user.created")
	require.Equal(t, place, a.Event.Trace)

	read, err := f.Event(t.Context(), hook.DefaultTenant(), a.Event.ID)
	require.NoError(t, err)
	require.Equal(t, place, read.Trace)
	starts := f.inOutbox(t)
	require.Equal(t, []hook.Trace{place, {}}, []hook.Trace{starts[0].Trace, starts[1].Trace})
	require.NoError(t, f.Started(t.Context(), []hook.EventID{a.Event.ID, untraced.Event.ID}))
	overdue, _, err := f.Overdue(t.Context(), -time.Hour, hook.OverdueMark{}, 10)
	require.NoError(t, err)
	starts, err = f.Restarts(t.Context(), overdue)
	require.NoError(t, err)
	require.Equal(t, []hook.Trace{place, {}}, []hook.Trace{starts[0].Trace, starts[1].Trace})

	jobs, err := f.Outstanding(t.Context(), []hook.EventID{a.Event.ID}, 0, 1)
	require.NoError(t, err)
	require.Equal(t, place, jobs[0].Event.Trace)
	require.True(t, jobs[0].Webhook.TraceContext)

	changed, err := f.UpdateWebhook(t.Context(), hook.DefaultTenant(), w.ID, func(w *hook.Webhook) error {
		w.TraceContext = false
		return nil
	})
	require.NoError(t, err)
	require.False(t, changed.TraceContext)
	require.False(t, f.health(t, w).TraceContext)
}
