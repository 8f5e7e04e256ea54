package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// Spec 9, 10: deferred deliveries are sent even if their drain was lost with a crash or with Temporal's database. A
// running drain is found and not started twice.
func TestSweeperStartsLostDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := hook.WebhookID{1}
		s, o := &temporalServer{}, &outbox{lost: []hook.WebhookID{lost}}
		defer sweeping(t, s, o)()
		pass(2*time.Second + time.Millisecond)
		options := s.started[contract.DrainID(lost)]
		require.Equal(t, lost.String()+"-drain", options.ID)
		require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
		require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, options.WorkflowIDReusePolicy)
		require.Equal(t, contract.DrainInput{WebhookID: lost}, s.inputs[options.ID])
		require.Equal(t, contract.NameDrain, s.names[options.ID])
		require.Empty(t, s.resets, "it does not wait")
	})
}

// A lost replay is started again.
func TestSweeperStartsLostReplays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := hook.ReplayID{1}
		s := &temporalServer{}
		defer sweeping(t, s, &outbox{lostReplays: []hook.ReplayID{lost}})()
		pass(2*time.Second + time.Millisecond)
		options, input := workflows.ReplayStart(lost, hook.Label{})
		require.Equal(t, options, s.started[lost.String()])
		require.Equal(t, input, s.inputs[lost.String()])
		require.Equal(t, contract.NameReplay, s.names[lost.String()])
	})
}

// K8: the deletion of a tenant whose start was lost is started. Nothing of it names the tenant but by its id.
func TestSweeperStartsLostDeletions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		lost := hook.TenantID{1}
		s := &temporalServer{}
		defer sweeping(t, s, &outbox{lostDeletions: []hook.TenantID{lost}})()
		pass(2*time.Second + time.Millisecond)
		options, input := workflows.DeletionStart(lost)
		require.Equal(t, lost.String()+"-delete", options.ID)
		require.Equal(t, options, s.started[options.ID])
		require.Equal(t, input, s.inputs[options.ID])
		require.Equal(t, contract.NameDeleteTenant, s.names[options.ID])
	})
}

// A drain may wait for something that is over: a pause, or an endpoint that was unavailable. Then the drain is woken
// and looks at once.
func TestSweeperWakesDrains(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &temporalServer{waiting: time.Now().Add(5 * time.Minute)}
		defer sweeping(t, s, &outbox{lost: []hook.WebhookID{{1}}})()
		pass(2*time.Second + time.Millisecond)
		require.Equal(t, []string{contract.DrainID(hook.WebhookID{1})}, s.resets)
	})
}

// The steps of a round are independent: neither a drain that can't be started nor a list that can't be read stops the
// others.
func TestSweeperStepsAreByThemselves(t *testing.T) {
	t.Parallel()
	lost := []hook.WebhookID{{1}, {2}, {3}}
	synctest.Test(t, func(t *testing.T) {
		s := &temporalServer{start: func(_ context.Context, id string) error {
			if id == contract.DrainID(lost[0]) {
				return errors.New("refused")
			}
			return nil
		}}
		o := &outbox{lost: lost, lostReplays: []hook.ReplayID{{4}}}
		defer sweeping(t, s, o)()
		event := o.accept(1)[0]
		pass(7 * time.Second)
		require.Subset(t, s.ids(), []string{contract.DrainID(lost[1]), contract.DrainID(lost[2]), hook.ReplayID{4}.String(), idOf(event)})
	})
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{}, &outbox{losing: errors.New("no"), lostReplays: []hook.ReplayID{{4}}}
		defer sweeping(t, s, o)()
		event := o.accept(1)[0]
		pass(7 * time.Second)
		require.Subset(t, s.ids(), []string{hook.ReplayID{4}.String(), idOf(event)})
	})
}

// Drains and replays do not wait for a long outbox.
func TestSweeperStepsBetweenPages(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, o := &temporalServer{start: slow(100 * time.Millisecond)}, &outbox{}
		defer sweeping(t, s, o)()
		o.accept(10_000) // two minutes of work
		pass(30 * time.Second)
		o.mu.Lock()
		o.lost = []hook.WebhookID{{1}}
		o.mu.Unlock()
		pass(25 * time.Second)
		require.Contains(t, s.ids(), contract.DrainID(hook.WebhookID{1}))
		require.NotZero(t, o.left())
	})
}
