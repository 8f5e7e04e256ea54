package activities_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

func momento(w *hook.Webhook) {
	w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "chat", "bot", []string{"room"}
}

// message publishes a message for one Momento webhook.
func (b *bench) message() (hook.WebhookID, hook.Start) {
	b.Helper()
	a := b.store.AddWebhook(urlA, momento)
	return a, b.store.Publish("room", `"hello"`, a)
}

// M7: a message gets one attempt, whatever its outcome, within five seconds.
func TestMessageHasOneAttempt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		outcome storagetest.Outcome
		state   hook.DeliveryState
		text    string
		took    time.Duration
	}{
		"200":         {storagetest.Status(200), hook.StateSuccess, "", 0},
		"hangs":       {storagetest.Hang(), hook.StateTimedOut, "Connection timeout", 5 * second},
		"500":         {storagetest.Status(500), hook.StateFailed, "HTTP 500 Internal Server Error", 0},
		"302":         {storagetest.Status(302), hook.StateFailed, "HTTP 302 Found", 0},
		"429 and ask": {storagetest.Status(429).RetryAfter(time.Minute), hook.StateFailed, "HTTP 429 Too Many Requests", 0},
		"refused":     {storagetest.Refused(), hook.StateFailed, "Connection refused", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a, s := b.message()
				b.sender.Script(urlA, c.outcome)
				_, err := b.deliver(s)
				require.NoError(b, err)
				d := b.store.Delivery(a)
				require.Equal(b, c.state, d.State)
				require.Equal(b, c.text, d.Error)
				require.Equal(b, 1, d.Attempts)
				require.False(b, d.Outstanding())
				require.Equal(b, c.took, time.Since(b.start))

				_, err = b.deliver(s)
				require.NoError(b, err)
				b.requireSentAt(urlA, 0)
			})
		})
	}
}

// M7: the store knows of the attempt before the receiver does.
func TestMessageIsClaimedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, s := b.message()
		var during hook.DeliveryState
		b.sender.Script(urlA, storagetest.Status(200).Then(func() { during = b.store.Delivery(a).State }))
		_, err := b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, hook.StateSending, during)
	})
}

// M7: after a crash between sending and recording a message is dropped and never sent again;
// deliveries beside it that are at-least-once are sent.
func TestMessageOfADeadWorkerIsDropped(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, momento), b.store.AddWebhook(urlC, nil)
		s := b.store.Publish("room", `"hello"`, a, c)
		b.store.Abandon(b.store.Delivery(a).ID, time.Minute)
		r, err := b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, 1, r.Succeeded)
		require.Equal(b, 1, r.Failed)
		d := b.store.Delivery(a)
		require.Equal(b, hook.StateDropped, d.State)
		require.Equal(b, hook.TextDropped, d.Error)
		require.Empty(b, b.sender.Requests(urlA))
		b.requireSentAt(urlC, 0)
	})
}

// All messages of an event are claimed with one statement.
func TestMessagesAreClaimedTogether(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		var ids []hook.WebhookID
		for i := range 50 {
			ids = append(ids, b.store.AddWebhook(fmt.Sprintf("https://%d.example/", i), momento))
		}
		claims := 0
		b.store.Fail = func(op string) error {
			if op == storagetest.OpClaim {
				claims++
			}
			return nil
		}
		r, err := b.deliver(b.store.Publish("room", `"hello"`, ids...))
		require.NoError(b, err)
		require.Equal(b, 50, r.Succeeded)
		require.Equal(b, 1, claims)
	})
}

// lossy is a store that makes the first claims but loses its answers.
type lossy struct {
	*storagetest.Store
	lost int
}

func (s *lossy) ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error) {
	claimed, err := s.Store.ClaimDeliveries(ctx, list, claim)
	if s.lost > 0 {
		s.lost--
		return nil, hook.Unavailable("the store", errors.New("the connection broke"))
	}
	return claimed, err
}

// Spec 9: an outage of Grapnel uses up no attempt. A claim whose answer was lost is made again, and the message is sent
// once.
func TestMessageIsClaimedAgainAfterALostAnswer(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, s := b.message()
		_, err := b.deliver(s)
		require.NoError(b, err)
		require.Equal(b, hook.StateSuccess, b.store.Delivery(a).State)
		b.requireSentAt(urlA, second/2) // two pauses, without jitter
	}, func(d *activities.Deps) { d.Store = &lossy{Store: d.Store.(*storagetest.Store), lost: 2} })
}

// While the store stays unavailable the message is not sent, and can be claimed later.
func TestMessageIsNotSentUnclaimed(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, s := b.message()
		away := true
		b.store.Fail = func(op string) error {
			if op == storagetest.OpClaim && away {
				return hook.Unavailable("the store", errors.New("away"))
			}
			return nil
		}
		_, err := b.deliver(s)
		b.asked(err, contract.ErrorOurs, 5*second)
		require.Equal(b, hook.StatePending, b.store.Delivery(a).State)
		require.Empty(b, b.sender.Requests(urlA))
		require.Less(b, time.Since(b.start), 10*time.Minute, "within the activity's time, which is that here")

		away = false
		_, err = b.deliver(s)
		require.NoError(b, err)
		require.Len(b, b.sender.Requests(urlA), 1)
	})
}

// A request that certainly was not sent may be made again. A request that may have been sent is not repeated.
func TestMessageThatWeCouldNotSend(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ours  error
		state hook.DeliveryState
		sent  int
	}{
		"nothing was sent":       {fmt.Errorf("%w: out of sockets", hook.ErrNotSent), hook.StateSuccess, 1},
		"it may have been":       {errors.New("out of memory"), hook.StateDropped, 0},
		"the worker was stopped": {sdkworker.ErrWorkerShutdown, hook.StateDropped, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a, s := b.message()
				b.sender.Script(urlA, storagetest.Ours(c.ours), storagetest.Status(200))
				_, err := b.deliver(s)
				if c.sent > 0 {
					b.asked(err, contract.ErrorOurs, 5*second)
					require.Equal(b, hook.StatePending, b.store.Delivery(a).State)
					_, err = b.deliver(s)
				}
				require.NoError(b, err)
				require.Equal(b, c.state, b.store.Delivery(a).State)
				require.Len(b, b.sender.Requests(urlA), c.sent)
				_, err = b.deliver(s)
				require.NoError(b, err)
				require.Len(b, b.sender.Requests(urlA), c.sent, "never again")
			})
		})
	}
}

// If a worker is stopped in the middle of sending, the outcome is recorded as unknown.
func TestMessageOfAStoppedWorkerIsDropped(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, s := b.message()
		b.sender.Script(urlA, storagetest.Status(200).After(4*second))
		b.during(2*second, func() { b.stop(sdkworker.ErrWorkerShutdown) })
		_, _ = b.deliver(s) // the activity's error does not matter here
		require.Equal(b, hook.StateDropped, b.store.Delivery(a).State)
		require.Len(b, b.sender.Requests(urlA), 1)
	})
}

// Only one of two senders at once can claim the delivery. The other sender may be a run that Temporal takes for dead,
// or a request by hand. The sender without the claim sends nothing, and does not end the delivery before the other one
// must have finished.
func TestMessageIsSentByOneRun(t *testing.T) {
	t.Parallel()
	for name, loadedBefore := range map[string]bool{"loaded before the claim": true, "loaded after it": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a, s := b.message()
				claim := func() { b.store.Abandon(b.store.Delivery(a).ID, 0) }
				if loadedBefore {
					b.store.Fail = func(op string) error {
						if op == storagetest.OpClaim {
							b.store.Fail = nil
							claim()
						}
						return nil
					}
				} else {
					claim()
				}
				_, err := b.deliver(s)
				b.asked(err, contract.ErrorOurs, 5*second)
				_, err = b.deliver(s) // as Temporal does
				b.asked(err, contract.ErrorOurs, 5*second)
				require.Equal(b, hook.StateSending, b.store.Delivery(a).State)

				time.Sleep(contract.RunTimeout) //nolint:forbidigo // the bubble's
				_, err = b.deliver(s)
				require.NoError(b, err)
				require.Equal(b, hook.StateDropped, b.store.Delivery(a).State)
				require.Empty(b, b.sender.Requests(urlA))
			})
		})
	}
}

// Spec 9: an outage of Grapnel, at whatever time, gives no unsent message an unknown outcome.
func TestMessageSurvivesAnOutageBeforeItIsSent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ops  []string
		lost int
	}{
		"while it is claimed and loaded anew": {[]string{storagetest.OpClaim, storagetest.OpJob}, 0},
		"with lost answers":                   {[]string{storagetest.OpJob, storagetest.OpRelease}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a, s := b.message()
				failures, claims := map[string]int{}, 0
				b.store.Fail = func(op string) error {
					if op == storagetest.OpClaim {
						if claims++; claims == 4 { // so that it has to be loaded again
							b.store.ChangeWebhook(a, func(w *hook.Webhook) { w.Secret = "another" })
						}
					}
					for _, failing := range c.ops {
						if op == failing && failures[op] < 4 {
							failures[op]++
							return hook.Unavailable("the store", errors.New("away"))
						}
					}
					return nil
				}
				_, err := b.deliver(s)
				require.NoError(b, err)
				require.Equal(b, hook.StateSuccess, b.store.Delivery(a).State)
				require.Len(b, b.sender.Requests(urlA), 1)
				require.Equal(b, 4, failures[storagetest.OpJob])
			}, func(d *activities.Deps) { d.Store = &lossy{Store: d.Store.(*storagetest.Store), lost: c.lost} })
		})
	}
}

// A claim whose answer never arrived is released when the run gives up.
func TestMessageClaimedWithoutAnAnswerIsReleased(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, s := b.message()
		_, err := b.deliver(s)
		b.asked(err, contract.ErrorOurs, 5*second)
		require.Equal(b, hook.StatePending, b.store.Delivery(a).State)
		require.Empty(b, b.sender.Requests(urlA))
	}, func(d *activities.Deps) { d.Store = &lossy{Store: d.Store.(*storagetest.Store), lost: 1 << 30} })
}

// A retry by hand of a message without an attempt is its only attempt.
func TestMessageSentByHandIsNotSentTwice(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, s := b.message()
		b.sender.Script(urlA, storagetest.Status(500))
		o, err := b.sendNow(b.store.Delivery(a))
		require.NoError(b, err)
		require.Equal(b, hook.StateFailed, o.State)
		_, err = b.deliver(s)
		require.NoError(b, err)
		require.Len(b, b.sender.Requests(urlA), 1)

		// After that attempt, a person may request another one.
		b.sender.Script(urlA, storagetest.Status(200))
		o, err = b.sendNow(b.store.Delivery(a))
		require.NoError(b, err)
		require.Equal(b, hook.StateSuccess, o.State)
		require.Equal(b, 2, o.Attempts)
	})
}

func TestMessageBeingSentIsNotSentByHand(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, _ := b.message()
		b.store.Abandon(b.store.Delivery(a).ID, time.Minute)
		_, err := b.sendNow(b.store.Delivery(a))
		var app *temporal.ApplicationError
		require.ErrorAs(b, err, &app)
		require.Equal(b, contract.ErrorRefused, app.Type())
		require.Empty(b, b.sender.Requests(urlA))
	})
}

// S11: a test of a Momento webhook is not a message; it can be sent.
func TestMessageTest(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, momento)
		o, err := b.sendNow(b.store.Test("room", `"hello"`, a))
		require.NoError(b, err)
		require.Equal(b, hook.StateSuccess, o.State)
	})
}
