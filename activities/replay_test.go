package activities_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// replayAll runs a replay to its end, run after run, as Temporal does.
func (b *bench) replayAll(id hook.ReplayID) (r contract.ReplayResult, whys []string, err error) {
	b.Helper()
	for range 10_000 {
		env := newEnvironment(b.Context())
		env.RegisterActivityWithOptions(b.acts.Replay, activity.RegisterOptions{Name: "Replay"})
		value, err := env.ExecuteActivity(b.acts.Replay, contract.ReplayInput{ReplayID: id})
		if err == nil {
			require.NoError(b, value.Get(&r))
			return r, whys, nil
		}
		var app *temporal.ApplicationError
		if !errors.As(err, &app) || app.NonRetryable() {
			return r, whys, err
		}
		whys = append(whys, app.Message())
		select {
		case <-time.After(app.NextRetryDelay()):
		case <-b.store.ReplayWoken(id):
			<-time.After(sweepEvery)
		}
	}
	return r, whys, errors.New("it never ends")
}

// replaying makes a replay of n events of the past.
func (b *bench) replaying(n, rate int) (hook.WebhookID, hook.ReplayID) {
	b.Helper()
	a := b.store.AddWebhook(urlA, nil)
	for range n {
		b.store.Publish(eventType, payload)
	}
	return a, b.store.AddReplay(a, rate)
}

// made returns when each of the replay's deliveries was made, from the test's start on.
func (b *bench) made(a hook.WebhookID) []time.Duration {
	var list []time.Duration
	for _, d := range b.store.Deliveries(a) {
		list = append(list, d.CreatedAt.Sub(b.start))
	}
	return list
}

// A replay makes its deliveries at its rate, starts the webhook's drain, and ends when all
// deliveries have ended.
func TestReplay(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, id := b.replaying(450, 20)
		b.sender.Script(urlA, storagetest.Status(200))
		b.during(40*second, func() {
			_, err := b.drainAll(a)
			require.NoError(b, err)
		})
		r, whys, err := b.replayAll(id)
		require.NoError(b, err)
		require.Equal(b, contract.ReplayResult{State: hook.ReplayCompleted, Scanned: 450, Deliveries: 450, Succeeded: 450}, r)
		made := b.made(a)
		for i := range made[:len(made)-20] {
			require.GreaterOrEqual(b, made[i+20]-made[i], second-10*time.Millisecond, "no more than its rate")
		}
		require.Less(b, made[449], 25*second)
		require.Equal(b, []hook.WebhookID{a}, b.store.Drained())
		require.Contains(b, whys[len(whys)-1], "450 events looked at, 450 deliveries made")
		require.Len(b, b.sender.Requests(urlA), 450)
	})
}

// A replay does nothing while it is paused, goes on at another rate when that is changed, and
// ends at once when it is canceled.
func TestReplayIsPausedAndCanceled(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, id := b.replaying(1000, 10)
		state := func(s hook.ReplayState) func() {
			return func() { b.store.ChangeReplay(id, func(r *hook.Replay) { r.State, r.Rate = s, 50 }) }
		}
		b.during(5*second-time.Millisecond, state(hook.ReplayPaused))
		b.during(20*time.Minute, state(hook.ReplayRunning))
		b.during(26*time.Minute, state(hook.ReplayCanceled))
		r, whys, err := b.replayAll(id)
		require.NoError(b, err)
		require.Equal(b, hook.ReplayCanceled, r.State)
		require.Contains(b, whys[0], "50 deliveries made; paused by the client")
		made := b.made(a)
		require.Equal(b, len(made), r.Canceled, "the result counts the canceled deliveries")
		require.Equal(b, 50, within(made, 20*time.Minute))
		require.Greater(b, made[50], 20*time.Minute)
		require.Less(b, made[50], 25*time.Minute+second, "it looks every five minutes, and when it is woken")
		for _, d := range b.store.Deliveries(a) {
			require.Equal(b, hook.StateCanceled, d.State)
		}
	})
}

// An outage of Grapnel, or of Temporal when the drain is to be started, costs nothing but time.
func TestReplayWhileTheStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	for _, op := range []string{storagetest.OpReplayStep, storagetest.OpReplaySleeps, storagetest.OpDrain} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a, id := b.replaying(30, 10)
				fails := 2
				b.store.Fail = func(at string) error {
					if at == op && fails > 0 {
						fails--
						return hook.Unavailable("the store", errors.New("away"))
					}
					return nil
				}
				b.during(30*second, func() {
					_, err := b.drainAll(a)
					require.NoError(b, err)
				})
				r, _, err := b.replayAll(id)
				require.NoError(b, err)
				require.Equal(b, 30, r.Succeeded)
				require.Len(b, b.sender.Requests(urlA), 30)
			})
		})
	}
}

// A replay that was deleted ends.
func TestReplayThatWasDeleted(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		r, _, err := b.replayAll(hook.ReplayID{1})
		require.NoError(b, err)
		require.Equal(b, hook.ReplayCanceled, r.State)
	})
}
