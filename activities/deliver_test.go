package activities_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// The error's message is for people who read the Web UI. Its category is benign, because a failure of a receiver is no
// failure of Grapnel.
func TestErrorAsksForTheNextAttempt(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Status(503))
		s := b.store.Publish(eventType, payload, a, c)

		_, err := b.deliver(s)
		message := b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Equal(b, "1 of 2 deliveries outstanding; "+a.String()+" HTTP 503 Service Unavailable, attempt 1; next in 30s", message)
		require.Equal(b, hook.StateSuccess, b.store.Delivery(c).State)
		d := b.store.Delivery(a)
		require.WithinDuration(b, b.start.Add(30*second), *d.NextAttemptAt, 0)

		require.Equal(b, [][]contract.Outcome{{{
			WebhookID: a, DeliveryID: d.ID, State: hook.StateFailed, Attempts: 1, StatusCode: 503,
			Error: "HTTP 503 Service Unavailable", NextAt: b.start.Add(30 * second).UTC().Format(time.RFC3339),
		}}}, b.heartbeats, "the outstanding ones, before asking for a retry")
	})
}

func TestErrorOfALaterAttempt(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a, c := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Status(503))
		b.sender.Script(urlB, storagetest.Status(500), storagetest.Status(200))
		s := b.store.Publish(eventType, payload, a, c)
		_, err := b.deliver(s)
		message := b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Contains(b, message, "2 of 2 deliveries outstanding; ")
		<-time.After(30 * second)
		_, err = b.deliver(s)
		message = b.asked(err, contract.ErrorOutstanding, 5*time.Minute)
		require.Equal(b, "1 of 2 deliveries outstanding; "+a.String()+" HTTP 503 Service Unavailable, attempt 2; next in 5m0s", message)
	})
}

func TestNothingIsSentBeforeItIsDue(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		s := b.store.Publish(eventType, payload, a)
		b.store.SetNextAttempt(a, b.start.Add(10*second))
		_, err := b.deliver(s)
		message := b.asked(err, contract.ErrorOutstanding, 10*second)
		require.Equal(b, "1 of 1 deliveries outstanding; "+a.String()+" not sent yet, attempt 0; next in 10s", message)
		require.Empty(b, b.sender.Requests(urlA))
	})
}

// Temporal's timers and the store's clock differ a little: the run waits for a delivery that is
// due within 100 ms, instead of ending and running again.
func TestRunWaitsForDeliveriesDueSoon(t *testing.T) {
	t.Parallel()
	for early, waits := range map[time.Duration]bool{
		0: true, time.Millisecond: true, 100 * time.Millisecond: true, 101 * time.Millisecond: false,
	} {
		t.Run(early.String(), func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, nil)
				s := b.store.Publish(eventType, payload, a)
				b.store.SetNextAttempt(a, b.start.Add(early))
				_, err := b.deliver(s)
				if !waits {
					b.asked(err, contract.ErrorOutstanding, early)
					return
				}
				require.NoError(b, err)
				sent := b.sender.Times(urlA, b.start)
				require.Len(b, sent, 1)
				require.GreaterOrEqual(b, sent[0], early)
				require.Less(b, sent[0], early+10*time.Millisecond)
			})
		})
	}
}

func TestNothingOutstanding(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		r, err := b.deliver(b.store.Publish(eventType, payload))
		require.NoError(b, err)
		require.Equal(b, contract.DeliverResult{}, r)
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		targets := make([]hook.WebhookID, 20)
		for i := range targets {
			targets[i] = b.store.AddWebhook(urlA, nil)
		}
		b.sender.Script(urlA, storagetest.Status(200).After(second))
		r, err := b.deliver(b.store.Publish(eventType, payload, targets...))
		require.NoError(b, err)
		require.Equal(b, 20, r.Succeeded)
		require.Equal(b, 4, b.sender.MostInFlight())
		require.Equal(b, 5*second, time.Since(b.start))
	}, func(d *activities.Deps) { d.Concurrency = 4 })
}

// Deliveries that are due at the same time are sent in the order in which they were accepted.
func TestFirstDueIsFirstSent(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		var targets []hook.WebhookID
		var urls, sent []string
		for i := range 20 {
			url := fmt.Sprintf("https://r%02d.example/hook", i)
			targets, urls = append(targets, b.store.AddWebhook(url, nil)), append(urls, url)
			b.sender.Script(url, storagetest.Status(200).After(second).Then(func() { sent = append(sent, url) }))
		}
		_, err := b.deliver(b.store.Publish(eventType, payload, targets...))
		require.NoError(b, err)
		require.Equal(b, urls, sent)
	}, func(d *activities.Deps) { d.Concurrency = 1 })
}

// S16: a delivery that becomes due while another is in flight is sent.
func TestStuckReceiverDelaysNobody(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Timeout = 30 * second })
		c := b.store.AddWebhook(urlB, nil)
		b.sender.Script(urlA, storagetest.Hang())
		b.sender.Script(urlB, storagetest.Status(500), storagetest.Status(500), storagetest.Status(200))
		_, err := b.deliver(b.store.Publish(eventType, payload, a, c))
		b.asked(err, contract.ErrorOutstanding, second)
		b.requireSentAt(urlB, 0, second, 11*second)
		b.requireSentAt(urlA, 0)
		require.Equal(b, hook.StateSuccess, b.store.Delivery(c).State)
	}, shortSchedule)
}

func shortSchedule(d *activities.Deps) { d.Schedule = hook.Schedule{second, 10 * second, time.Minute} }

// S15: retries use the webhook's current URL and secret, and a deleted webhook gets none, also
// within one run of the activity.
func TestRetryInOneRunSeesTheWebhookAsItIs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(b *bench, id hook.WebhookID)
		state  hook.DeliveryState
		text   string
	}{
		"another URL": {func(b *bench, id hook.WebhookID) {
			b.store.ChangeWebhook(id, func(h *hook.Webhook) { h.URL, h.Secret = urlC, "another" })
		}, hook.StateSuccess, ""},
		"deleted":                {func(b *bench, id hook.WebhookID) { b.store.DeleteWebhook(id) }, hook.StateCanceled, "Webhook deleted"},
		"deleted, delivery left": {func(b *bench, id hook.WebhookID) { b.store.LoseWebhook(id, false) }, hook.StateCanceled, "Webhook deleted"},
		"deactivated":            {func(b *bench, id hook.WebhookID) { b.store.LoseWebhook(id, true) }, hook.StateCanceled, "Webhook disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				slow, id := b.store.AddWebhook(urlA, nil), b.store.AddWebhook(urlB, nil)
				b.sender.Script(urlA, storagetest.Status(200).After(10*second))
				b.sender.Script(urlB, storagetest.Status(500))
				b.during(500*time.Millisecond, func() { c.change(b, id) })
				r, err := b.deliver(b.store.Publish(eventType, payload, slow, id))
				require.NoError(b, err)
				b.requireSentAt(urlB, 0)
				d := b.store.Delivery(id)
				require.Equal(b, c.state, d.State)
				require.Equal(b, c.text, d.Error)
				if c.state == hook.StateCanceled {
					require.Equal(b, 1, r.Canceled)
					require.Equal(b, 1, d.Attempts)
					return
				}
				b.requireSentAt(urlC, second)
				require.NotEqual(b, b.sender.Requests(urlB)[0].Header.Get("X-Webhook-Signature"),
					b.sender.Requests(urlC)[0].Header.Get("X-Webhook-Signature"))
			}, shortSchedule)
		})
	}
}

// The run ends before the activity times out: attempts that would take longer are left to the
// next run.
func TestRunEndsBeforeItsDeadline(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		targets := make([]hook.WebhookID, 30)
		for i := range targets {
			targets[i] = b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Timeout = 30 * second })
		}
		b.sender.Script(urlA, storagetest.Status(200).After(30*second))
		_, err := b.deliver(b.store.Publish(eventType, payload, targets...))
		message := b.asked(err, contract.ErrorOutstanding, time.Millisecond)
		require.Contains(b, message, "11 of 30 deliveries outstanding")
		require.Len(b, b.sender.Requests(urlA), 19)
		require.Less(b, time.Since(b.start), 10*time.Minute, "which the test environment allows")
	}, func(d *activities.Deps) { d.Concurrency = 1 })
}

// The only table from an error's kind to an application error of Temporal
// (activities/errors.go). Temporal does not see the cause.
func TestErrorKinds(t *testing.T) {
	t.Parallel()
	for kind, final := range map[hook.Kind]bool{
		hook.KindUnavailable: false, hook.KindRateLimited: false, hook.KindInternal: false,
		hook.KindNotFound: true, hook.KindNoTenant: true, hook.KindSuspended: true, hook.KindConflict: true, hook.KindPrecondition: true, hook.KindInvalid: true, hook.KindUnprocessable: true,
		hook.KindForbidden: true, hook.KindUnauthorized: true, hook.KindTooLarge: true, hook.KindMediaType: true, hook.KindLimit: true, hook.KindLoop: true,
	} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				b.store.Fail = func(string) error {
					return &hook.Error{Kind: kind, Message: "secret message", Err: errors.New("postgres://user:password@10.0.0.1")}
				}
				_, err := b.deliver(b.store.Publish(eventType, payload, b.store.AddWebhook(urlA, nil)))
				var app *temporal.ApplicationError
				require.ErrorAs(b, err, &app)
				require.Equal(b, "load deliveries: "+string(kind), app.Message())
				require.NotContains(b, err.Error(), "secret")
				require.NotContains(b, err.Error(), "10.0.0.1")
				require.Equal(b, final, app.NonRetryable())
				if !final {
					b.asked(err, contract.ErrorOurs, 5*second)
				} else {
					require.Equal(b, contract.ErrorRefused, app.Type())
				}
			})
		})
	}
}

// S14: a webhook is disabled when a delivery fails for good, if that is switched on; by default
// it is off.
func TestDisableWebhookAfterFailedDelivery(t *testing.T) {
	t.Parallel()
	for _, disable := range []bool{false, true} {
		t.Run(fmt.Sprint(disable), func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, func(h *hook.Webhook) { h.MaxAttempts = 2 })
				b.sender.Script(urlA, storagetest.Status(500))
				s := b.store.Publish(eventType, payload, a)
				_, err := b.sendNow(b.store.Delivery(a))
				require.NoError(b, err)
				_, err = b.sendNow(b.store.Test(eventType, payload, a))
				require.NoError(b, err)
				_, err = b.deliver(s)
				b.asked(err, contract.ErrorOutstanding, 30*second)
				require.True(b, b.store.Webhook(a).Active, "by hand, as a test, or not for good yet")
				<-time.After(30 * second)
				_, err = b.deliver(s)
				require.NoError(b, err)
				require.Equal(b, !disable, b.store.Webhook(a).Active)
				if disable {
					require.Equal(b, hook.ReasonFailedFinal, b.store.Webhook(a).DisabledReason)
				}
			}, func(d *activities.Deps) { d.DisableOnFinal = disable })
		})
	}
}

// Temporal truncates failures above 4 KiB. Heartbeats and results show the first twenty
// deliveries, failed ones before the others.
func TestOutcomesAreBounded(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		targets := make([]hook.WebhookID, 100)
		for i := range targets {
			targets[i] = b.store.AddWebhook(urlA, nil)
		}
		targets[99] = b.store.AddWebhook(urlB, func(h *hook.Webhook) { h.MaxAttempts = 1 })
		b.sender.Script(urlB, storagetest.Status(500))
		r, err := b.deliver(b.store.Publish(eventType, payload, targets...))
		require.NoError(b, err)
		require.Equal(b, 99, r.Succeeded)
		require.Equal(b, 1, r.Failed)
		require.Len(b, r.Outcomes, 20)
		require.Equal(b, targets[99], r.Outcomes[0].WebhookID)

		b.sender.Script(urlA, storagetest.Status(500))
		_, err = b.deliver(b.store.Publish(eventType, payload, targets[:99]...))
		message := b.asked(err, contract.ErrorOutstanding, 30*second)
		require.Less(b, len(message), 200)
		require.Len(b, b.heartbeats[0], 20)
	})
}

func TestOutcomeText(t *testing.T) {
	t.Parallel()
	id := hook.WebhookID{15: 1}
	require.Equal(t, id.String()+" success after 1 attempt", contract.Outcome{WebhookID: id, State: hook.StateSuccess, Attempts: 1}.Text())
	require.Equal(t, id.String()+" failed: Connection timeout after 5 attempts",
		contract.Outcome{WebhookID: id, State: hook.StateFailed, Attempts: 5, Error: "Connection timeout"}.Text())
}

func TestNewChecksItsDependencies(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*activities.Deps){
		"no store":          func(d *activities.Deps) { d.Store = nil },
		"no lookup":         func(d *activities.Deps) { d.Lookup = nil },
		"no sender":         func(d *activities.Deps) { d.Sender = nil },
		"no deferred store": func(d *activities.Deps) { d.DeferredStore = nil },
		"no drains":         func(d *activities.Deps) { d.Drains = nil },
		"no logger":         func(d *activities.Deps) { d.Logger = nil },
		"no schedule":       func(d *activities.Deps) { d.Schedule = nil },
		"negative delay":    func(d *activities.Deps) { d.Schedule = hook.Schedule{-second} },
		"shortening delays": func(d *activities.Deps) { d.Schedule = hook.Schedule{2 * second, second} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(*bench) {}, func(d *activities.Deps) {
				spoiled := *d
				spoil(&spoiled)
				_, err := activities.New(spoiled)
				require.Error(t, err)
			})
		})
	}
}
