package dispatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

func newSendNow(t *testing.T, s *temporalServer) *dispatch.SendNow {
	t.Helper()
	send, err := dispatch.NewSendNow(s, nil)
	require.NoError(t, err)
	return send
}

// S11, S13: the caller waits for the outcome. Two calls at once for one delivery make one request.
func TestSendNow(t *testing.T) {
	t.Parallel()
	s := &temporalServer{}
	d := hook.Delivery{ID: hook.DeliveryID{15: 1}, EventType: "user.created", Test: true}
	require.NoError(t, newSendNow(t, s).Send(t.Context(), d))
	options, input := workflows.SendNowStart(d)
	require.Equal(t, options, s.started[d.ID.String()])
	require.Equal(t, input, s.inputs[d.ID.String()])
	require.Equal(t, contract.NameSendNow, s.names[d.ID.String()])
}

func TestSendNowErrors(t *testing.T) {
	t.Parallel()
	refused := temporal.NewNonRetryableApplicationError("send: precondition", contract.ErrorRefused, nil)
	because := func(k hook.Kind) func(context.Context) error {
		return func(context.Context) error {
			return temporal.NewNonRetryableApplicationError("send", contract.ErrorRefused, nil, k)
		}
	}
	ours := temporal.NewApplicationError("record attempt: unavailable", contract.ErrorOurs)
	for name, c := range map[string]struct {
		start func(context.Context, string) error
		get   func(context.Context) error
		// nobody says that no worker has taken the workflow.
		nobody bool
		// taken says that a worker takes the workflow while it is being terminated.
		taken   bool
		notSent bool
		kind    hook.Kind
		after   time.Duration
		text    string // "" allows any text
	}{
		"Temporal away": {start: func(context.Context, string) error { return serviceerror.NewUnavailable("away") }, kind: hook.KindUnavailable, notSent: true},
		// A person waits, but not for longer than Temporal may take to accept the workflow.
		"Temporal does not answer": {start: hangs, kind: hook.KindUnavailable, after: 5 * time.Second, notSent: true},
		"webhook deleted":          {get: func(context.Context) error { return refused }, kind: hook.KindPrecondition},
		"webhook deleted, wrapped": {get: func(context.Context) error { return errors.Join(errors.New("workflow"), refused) }, kind: hook.KindPrecondition},
		"delivery gone":            {get: because(hook.KindNotFound), kind: hook.KindNotFound, notSent: true, text: "delivery not found"},
		"being sent":               {get: because(hook.KindConflict), kind: hook.KindPrecondition, text: "the message is being sent"},
		// Spec 9: a webhook's limits apply to requests by hand too.
		"over a limit": {get: func(context.Context) error {
			return temporal.NewNonRetryableApplicationError("over", contract.ErrorLimited, nil,
				contract.Limited{Reason: hook.WaitRate, Message: "at its rate_limit", RetryAfter: 3 * time.Second})
		}, kind: hook.KindRateLimited, notSent: true, text: "at its rate_limit"},
		"our failure": {get: func(context.Context) error { return ours }, kind: hook.KindUnavailable},
		"no worker":   {get: func(ctx context.Context) error { return hangs(ctx, "") }, nobody: true, kind: hook.KindUnavailable, after: 5 * time.Second, notSent: true},
		// S11: a request may then be made, so no answer may say that none was made.
		"a worker in the last moment": {get: func(ctx context.Context) error { return hangs(ctx, "") }, nobody: true, taken: true, kind: hook.KindUnavailable, after: 5*time.Second + contract.SendNowTimeout},
		"a worker that hangs":         {get: func(ctx context.Context) error { return hangs(ctx, "") }, kind: hook.KindUnavailable, after: 5*time.Second + contract.SendNowTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				begun := time.Now()
				s := &temporalServer{start: c.start, get: c.get, nobody: c.nobody, taken: c.taken}
				err := newSendNow(t, s).Send(t.Context(), hook.Delivery{})
				require.Equal(t, c.kind, hook.KindOf(err))
				require.Equal(t, c.notSent || c.kind == hook.KindPrecondition, errors.Is(err, hook.ErrNotSent))
				require.Equal(t, c.after, time.Since(begun))
				var e *hook.Error
				require.ErrorAs(t, err, &e)
				require.NotEmpty(t, e.Message)
				require.Contains(t, e.Message, c.text)
			})
		})
	}
}
