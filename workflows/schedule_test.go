package workflows_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// Spec 1: there are 5 attempts, at once, +30 s, +5 min, +30 min, +2 h, each delay from the end
// of the attempt before. S14: after the fifth the delivery has failed for good.
func TestFiveAttemptsOnTheSchedule(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		w.deliver(w.store.Publish(eventType, payload, a))

		w.requireSentAt(urlA, 0, 30*second, 5*minute+30*second, 35*minute+30*second, 2*hour+35*minute+30*second)
		message, r := w.requireFailed()
		d := w.store.Delivery(a)
		require.Equal(w, "1 of 1 deliveries failed for good; "+a.String()+
			" failed: HTTP 500 Internal Server Error after 5 attempts", message)
		require.Equal(w, hook.StateFailed, d.State)
		require.Equal(w, 5, d.Attempts)
		require.Equal(w, 5, d.Scheduled)
		require.Nil(w, d.NextAttemptAt)
		require.Equal(w, hook.HealthFailed, w.store.Webhook(a).Health)
		require.True(w, w.store.Webhook(a).Active, "S14: active stays true")
		require.Equal(w, 1, r.Failed)
	})
}

// Spec 1: each delay counts from the end of the attempt before it, not its start.
func TestDelaysCountFromTheEndOfAnAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500).After(2*second), storagetest.Hang(), storagetest.Refused())
		w.deliver(w.store.Publish(eventType, payload, a))

		w.requireFailed()
		w.requireSentAt(urlA, 0, 32*second, 5*minute+47*second, 35*minute+47*second, 2*hour+35*minute+47*second)
		require.Equal(w, 15*second, w.store.Log(w.store.Delivery(a).ID)[1].Duration)
	})
}

func TestSuccessOnTheThirdAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500), storagetest.Status(500), storagetest.Status(200))
		w.later(time.Minute, func() { require.Equal(w, hook.HealthFailing, w.store.Webhook(a).Health) })
		r := w.deliver(w.store.Publish(eventType, payload, a))

		require.NoError(w, w.failure)
		w.requireSentAt(urlA, 0, 30*second, 5*minute+30*second)
		d := w.store.Delivery(a)
		require.Equal(w, hook.StateSuccess, d.State)
		require.Equal(w, 3, d.Attempts)
		require.Equal(w, 200, d.StatusCode)
		require.Empty(w, d.Error)
		require.Equal(w, w.accepted.Add(5*minute+30*second), *d.DeliveredAt)
		require.Equal(w, hook.HealthHealthy, w.store.Webhook(a).Health, "S14: a success makes it healthy")
		require.Equal(w, contract.DeliverResult{Succeeded: 1, Outcomes: []contract.Outcome{
			{WebhookID: a, DeliveryID: d.ID, State: hook.StateSuccess, Attempts: 3, StatusCode: 200},
		}}, r)
	})
}

// S12: 500, 500, timeout gives exactly {"status":"failed",
// "status_code":500,"attempts":3,"error":"Connection timeout"}.
func TestSeedsFailedExample(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500), storagetest.Status(500), storagetest.Hang(), storagetest.Status(200))
		seen := false
		w.later(10*minute, func() {
			seen = true
			d := w.store.Delivery(a)
			require.Equal(w, hook.StateFailed, d.State)
			require.Equal(w, 500, d.StatusCode)
			require.Equal(w, 3, d.Attempts)
			require.Equal(w, "Connection timeout", d.Error)
			require.NotNil(w, d.NextAttemptAt, "S12: retries remain")
		})
		w.deliver(w.store.Publish(eventType, payload, a))
		require.True(w, seen)
		require.NoError(w, w.failure)
	})
}

// Without NextRetryDelay, as after a crash, the retry policy is the fallback: 30 s, 3 min 6 s,
// 19 min 19 s, 2 h.
func TestFallbackWithoutNextRetryDelay(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		var runs []time.Duration
		w.instead = func(deliverFunc) deliverFunc {
			return func(context.Context, contract.SliceInput) (contract.DeliverResult, error) {
				runs = append(runs, w.env.Now().Sub(w.accepted))
				if len(runs) == 6 {
					return contract.DeliverResult{Succeeded: 1}, nil
				}
				return contract.DeliverResult{}, errors.New("lost")
			}
		}
		a := w.store.AddWebhook(urlA, nil)
		w.deliver(w.store.Publish(eventType, payload, a))
		require.NoError(w, w.failure)

		want := []time.Duration{30 * second, 3*minute + 6*second, 19*minute + 19*second, 2 * hour, 2 * hour}
		require.Zero(w, runs[0])
		for i, delay := range want {
			require.InDelta(w, delay.Seconds(), (runs[i+1] - runs[i]).Seconds(), 1, "delay %d", i+1)
		}
	})
}

// The real activity, whose error loses its delay, for instance by wrapping, has the same result: there are still five
// attempts, and none before it is due.
func TestLostNextRetryDelayStillDelivers(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		w.instead = func(real deliverFunc) deliverFunc {
			return func(ctx context.Context, in contract.SliceInput) (contract.DeliverResult, error) {
				r, err := real(ctx, in)
				var app *temporal.ApplicationError
				if errors.As(err, &app) {
					err = temporal.NewApplicationError(app.Message(), app.Type())
				}
				return r, err
			}
		}
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		w.deliver(w.store.Publish(eventType, payload, a))
		w.requireFailed()

		times := w.sender.Times(urlA, w.accepted)
		require.Len(w, times, 5)
		require.Equal(w, []time.Duration{0, 30 * second}, times[:2])
		for i, delay := range hook.DefaultSchedule() {
			require.GreaterOrEqual(w, times[i+1]-times[i], delay)
		}
	})
}

// Spec 10: after a crash between sending and recording the attempt is made again, with the same
// number; nothing is lost, and never are more than five attempts recorded.
func TestCrashBetweenSendingAndRecording(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		dies := true
		w.store.Fail = func(op string) error {
			if op == storagetest.OpRecord && dies {
				return errors.New("killed")
			}
			return nil
		}
		w.instead = func(real deliverFunc) deliverFunc {
			return func(ctx context.Context, in contract.SliceInput) (contract.DeliverResult, error) {
				r, err := real(ctx, in)
				if dies {
					dies = false
					return r, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
				}
				return r, err
			}
		}
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		w.deliver(w.store.Publish(eventType, payload, a))
		w.requireFailed()

		requests := w.sender.Requests(urlA)
		numbers := make([]string, 0, len(requests))
		for i := range requests {
			numbers = append(numbers, requests[i].Header.Get("X-Webhook-Attempt"))
			require.Equal(w, requests[0].Body, requests[i].Body, "spec 2.3: identical on every attempt")
		}
		require.Equal(w, []string{"1", "1", "2", "3", "4", "5"}, numbers)
		w.requireSentAt(urlA, 0, 30*second, 60*second, 6*minute, 36*minute, 2*hour+36*minute)
		d := w.store.Delivery(a)
		require.Equal(w, 5, d.Attempts)
		require.Len(w, w.store.Log(d.ID), 5)
	})
}

// The crash may hide a success: the receiver gets the event twice, which at least once allows,
// and the delivery ends as a success.
func TestCrashAfterASuccess(t *testing.T) {
	t.Parallel()
	inOneWorld(t, regular, func(w *world) {
		crashed := false
		w.instead = func(real deliverFunc) deliverFunc {
			return func(ctx context.Context, in contract.SliceInput) (contract.DeliverResult, error) {
				r, err := real(ctx, in)
				if !crashed { // after recording this time
					crashed = true
					return r, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
				}
				return r, err
			}
		}
		a := w.store.AddWebhook(urlA, nil)
		r := w.deliver(w.store.Publish(eventType, payload, a))
		require.NoError(w, w.failure)
		require.Equal(w, 1, r.Succeeded, "what an earlier run recorded counts")
		w.requireSentAt(urlA, 0)
	})
}

// Spec 9: Retry-After on 429 and 503 postpones the next attempt if it is later than the
// schedule, up to 24 h; the number of attempts stays.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		asked, waits time.Duration
	}{
		"postpones":             {10 * minute, 10 * minute},
		"does not advance":      {5 * second, 30 * second},
		"at most by 24 hours":   {72 * hour, 24 * hour},
		"equal to the schedule": {30 * second, 30 * second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				a := w.store.AddWebhook(urlA, nil)
				w.sender.Script(urlA, storagetest.Status(503).RetryAfter(c.asked), storagetest.Status(503))
				w.deliver(w.store.Publish(eventType, payload, a))
				w.requireFailed()
				w.requireSentAt(urlA, 0, c.waits, c.waits+5*minute, c.waits+35*minute, c.waits+35*minute+2*hour)
			})
		})
	}
}

// Spec 9: 410 Gone disables the webhook, with the reason, and ends its deliveries.
func TestGoneEndsItAtOnce(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.store.Publish(eventType, payload, a) // of another event, still pending
		w.sender.Script(urlA, storagetest.Status(410))
		w.deliver(w.store.Publish(eventType, payload, a))
		w.requireFailed()
		w.requireSentAt(urlA, 0)
		hooked := w.store.Webhook(a)
		require.False(w, hooked.Active)
		require.Equal(w, hook.ReasonGone, hooked.DisabledReason)
		deliveries := w.store.Deliveries(a)
		require.Equal(w, hook.StateCanceled, deliveries[0].State)
		require.Equal(w, hook.StateFailed, deliveries[1].State)
		require.Equal(w, "HTTP 410 Gone", deliveries[1].Error)
	})
}

// S1: max_attempts, from 1 to 5, is the webhook's own bound.
func TestMaxAttempts(t *testing.T) {
	t.Parallel()
	all := []time.Duration{0, 30 * second, 5*minute + 30*second, 35*minute + 30*second, 2*hour + 35*minute + 30*second}
	for most := 1; most <= hook.MaxAttempts; most++ {
		t.Run(strconv.Itoa(most), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				a := w.store.AddWebhook(urlA, func(h *hook.Webhook) { h.MaxAttempts = most })
				w.sender.Script(urlA, storagetest.Refused())
				w.deliver(w.store.Publish(eventType, payload, a))
				w.requireFailed()
				w.requireSentAt(urlA, all[:most]...)
			})
		})
	}
}

// Spec 9: an outage of Grapnel never uses up a delivery's attempts.
func TestOurOutage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(w *world, times int)
	}{
		"the store is away": {func(w *world, times int) {
			w.store.Fail = func(op string) error {
				if op != storagetest.OpOutstanding || times == 0 {
					return nil
				}
				times--
				return hook.Unavailable("the store", errors.New("10.0.0.1:5432 refused"))
			}
		}},
		"we can not send": {func(w *world, times int) {
			w.sender.Script(urlA, append(outcomes(storagetest.Ours(errors.New("out of sockets")), times), storagetest.Status(500))...)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				a := w.store.AddWebhook(urlA, nil)
				w.sender.Script(urlA, storagetest.Status(500))
				c.breaks(w, 3)
				w.deliver(w.store.Publish(eventType, payload, a))
				w.requireFailed()
				late := 15 * second // three times 5 s
				if w.way != regular {
					late = 10 * second // the regular activity comes at once after the first try
				}
				w.requireSentAt(urlA, late, late+30*second, late+5*minute+30*second, late+35*minute+30*second, late+2*hour+35*minute+30*second)
				require.Equal(w, 5, w.store.Delivery(a).Attempts)
			})
		})
	}
}
