package workflows_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
	"grapnel/workflows"
)

// V1: the workflow of an event that was delivered before it began ends in its first task, with its table of outcomes.
func TestDeliveredBeforeTheWorkflow(t *testing.T) {
	t.Parallel()
	inOneWorld(t, immediate, func(w *world) {
		a, b := w.store.AddWebhook(urlA, nil), w.store.AddWebhook(urlB, nil)
		start := w.accept(w.store.Publish(eventType, payload, a, b))
		options, input := workflows.DeliverStart(start)
		require.NotNil(w, input.Done)
		require.False(w, input.Inline)
		require.Zero(w, input.Owner)
		ordered := false
		w.instead = func(real deliverFunc) deliverFunc {
			ordered = true
			return real
		}
		var r contract.DeliverResult
		w.run(client.StartWorkflowOptions{ID: options.ID, TaskQueue: options.TaskQueue}, contract.NameDeliver, input, &r)
		require.False(w, ordered, "no activity is ordered")
		require.Equal(w, 2, r.Succeeded)
		require.Len(w, r.Outcomes, 2)
		require.Contains(w, w.details(), "2 succeeded, 0 failed, 0 canceled")
		require.Contains(w, w.details(), a.String())
	})
}

// An event that has failed for good by its first attempts makes its workflow fail, like one that fails later.
func TestFailedBeforeTheWorkflow(t *testing.T) {
	t.Parallel()
	inOneWorld(t, immediate, func(w *world) {
		a := w.store.AddWebhook(urlA, func(h *hook.Webhook) { h.MaxAttempts = 1 })
		w.sender.Script(urlA, storagetest.Status(500))
		w.deliver(w.store.Publish(eventType, payload, a))
		message, r := w.requireFailed()
		require.Contains(w, message, "1 of 1 deliveries failed for good; "+a.String())
		require.Equal(w, 1, r.Failed)
	})
}

// V1: a workflow that starts while the first attempt is under way joins it.
func TestWorkflowJoinsTheFirstAttempt(t *testing.T) {
	t.Parallel()
	inOneWorld(t, immediate, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(200).After(12*second))
		r := w.deliver(w.store.Publish(eventType, payload, a))
		require.Equal(w, 1, r.Succeeded)
		w.requireSentAt(urlA, 0)
	})
}

// V3: while another process lives that makes the first attempts, the workflow asks again, and shows why.
func TestWorkflowLeavesTheFirstAttemptToItsOwner(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		s := w.store.Publish(eventType, payload, a)
		s.Owner = hook.NewProcessID()
		require.NoError(w, w.store.Heartbeat(w.Context(), s.Owner))
		w.deliver(s)
		require.NoError(w, w.failure)
		times := w.sender.Times(urlA, w.accepted)
		require.Len(w, times, 1)
		require.GreaterOrEqual(w, times[0], hook.DeadAfter)
		require.Less(w, times[0], hook.DeadAfter+2*time.Second, "taken over within ten seconds")
	})
}

// A burst whose events are all done is done; one with an outstanding event is not, and counts the others.
func TestDoneBurst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := func(n int) hook.Start {
			id := hook.EventID{byte(n)}
			return hook.Start{
				EventID: id, Deliveries: 1, Attempted: true,
				Ended: []hook.Delivery{{ID: hook.DeliveryID{byte(n)}, EventID: id, State: hook.StateSuccess, Attempts: 1}},
			}
		}
		_, input := workflows.DeliverStart(hook.Share("b", []hook.Start{ended(1), ended(2), ended(3)}))
		require.Equal(t, 3, input.Done.Succeeded)
		outstanding := ended(4)
		outstanding.Ended = nil
		_, input = workflows.DeliverStart(hook.Share("b", []hook.Start{ended(1), outstanding}))
		require.Nil(t, input.Done)
		require.False(t, input.Inline)
		_, input = workflows.DeliverStart(outstanding)
		require.False(t, input.Inline, "the first attempt was made")
		outstanding.Attempted, outstanding.Owner = false, hook.ProcessID{1}
		_, input = workflows.DeliverStart(outstanding)
		require.False(t, input.Inline, "the first attempt is another's")
		require.Equal(t, outstanding.Owner, input.Owner)
	})
}
