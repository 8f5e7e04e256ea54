package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/signing"
	"grapnel/storage/storagetest"
	"grapnel/workflows"
)

// S16: a stuck webhook delays no other: each has its own schedule, and one that fails for good
// does not make the others fail.
func TestOneFailsAndOthersSucceed(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a, b, c := w.store.AddWebhook(urlA, nil), w.store.AddWebhook(urlB, nil), w.store.AddWebhook(urlC, nil)
		w.sender.Script(urlA, storagetest.Hang())
		w.sender.Script(urlB, storagetest.Status(500).After(second), storagetest.Status(204))
		w.sender.Script(urlC, storagetest.Status(200))
		w.deliver(w.store.Publish(eventType, payload, a, b, c))

		w.requireSentAt(urlC, 0)
		w.requireSentAt(urlB, 0, 31*second)
		w.requireSentAt(urlA, 0, 45*second, 6*minute, 36*minute+15*second, 2*hour+36*minute+30*second)
		message, r := w.requireFailed()
		require.Equal(w, "1 of 3 deliveries failed for good; "+a.String()+" failed: Connection timeout after 5 attempts", message)
		require.Equal(w, 2, r.Succeeded)
		require.Equal(w, 1, r.Failed)
		require.Equal(w, a, r.Outcomes[0].WebhookID, "the failed one comes first")
		require.Equal(w, hook.StateSuccess, w.store.Delivery(b).State)
		require.Equal(w, hook.HealthFailed, w.store.Webhook(a).Health)
		require.Equal(w, hook.HealthHealthy, w.store.Webhook(b).Health)
	})
}

// S5, S15: deleting or deactivating a webhook cancels its pending deliveries; the workflow does
// not fail for that.
func TestCanceledBetweenAttempts(t *testing.T) {
	t.Parallel()
	deactivate := func(h *hook.Webhook) { h.Active = false }
	for name, c := range map[string]struct {
		change func(w *world, a hook.WebhookID)
		text   string
	}{
		"deleted":     {func(w *world, a hook.WebhookID) { w.store.DeleteWebhook(a) }, "Webhook deleted"},
		"deactivated": {func(w *world, a hook.WebhookID) { w.store.ChangeWebhook(a, deactivate) }, "Webhook disabled"},
		// A publish at the same moment may have left the delivery pending.
		"deleted, delivery left":     {func(w *world, a hook.WebhookID) { w.store.LoseWebhook(a, false) }, "Webhook deleted"},
		"deactivated, delivery left": {func(w *world, a hook.WebhookID) { w.store.LoseWebhook(a, true) }, "Webhook disabled"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				a, b := w.store.AddWebhook(urlA, nil), w.store.AddWebhook(urlB, nil)
				w.sender.Script(urlA, storagetest.Status(500))
				w.later(10*second, func() { c.change(w, a) })
				r := w.deliver(w.store.Publish(eventType, payload, a, b))

				require.NoError(w, w.failure)
				w.requireSentAt(urlA, 0)
				d := w.store.Delivery(a)
				require.Equal(w, hook.StateCanceled, d.State)
				require.Equal(w, c.text, d.Error)
				require.Equal(w, 1, d.Attempts)
				require.Equal(w, 500, d.StatusCode)
				require.Equal(w, 1, r.Succeeded)
				require.Equal(w, 1, r.Canceled)
				require.Zero(w, r.Failed)
			})
		})
	}
}

func TestCanceledBeforeTheFirstAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		s := w.store.Publish(eventType, payload, a)
		w.store.LoseWebhook(a, false)
		r := w.deliver(s)
		require.NoError(w, w.failure)
		require.Equal(w, 1, r.Canceled)
		require.Equal(w, "Webhook deleted", r.Outcomes[0].Error)
		require.Empty(w, w.sender.Requests(urlA))
	})
}

// S15: retries use the webhook's current URL and secret.
func TestRetriesUseTheCurrentURLAndSecret(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		w.sender.Script(urlB, storagetest.Status(200))
		w.later(10*second, func() {
			w.store.ChangeWebhook(a, func(h *hook.Webhook) { h.URL, h.Secret = urlB, "another" })
		})
		w.deliver(w.store.Publish(eventType, payload, a))

		require.NoError(w, w.failure)
		w.requireSentAt(urlA, 0)
		w.requireSentAt(urlB, 30*second)
		before, after := w.sender.Requests(urlA)[0], w.sender.Requests(urlB)[0]
		require.Equal(w, before.Body, after.Body)
		require.Equal(w, signing.HexSHA256("secret", before.Body), before.Header.Get("X-Webhook-Signature"))
		require.Equal(w, signing.HexSHA256("another", after.Body), after.Header.Get("X-Webhook-Signature"))
		require.Equal(w, "2", after.Header.Get("X-Webhook-Attempt"))
	})
}

// S13: if a retry by hand succeeds between two attempts, nothing more is sent.
func TestSentByHandBetweenAttempts(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		w.later(10*second, func() {
			_, err := w.store.Record(t.Context(), []hook.Record{{
				Delivery: w.store.Delivery(a), Attempt: hook.Attempt{Manual: true, StatusCode: 200},
				Verdict: hook.Verdict{State: hook.StateSuccess},
			}})
			require.NoError(w, err)
		})
		r := w.deliver(w.store.Publish(eventType, payload, a))
		require.NoError(w, w.failure)
		require.Equal(w, 1, r.Succeeded)
		require.Equal(w, 2, r.Outcomes[0].Attempts)
		w.requireSentAt(urlA, 0)
	})
}

// One activity has at most 500 deliveries, one workflow at most 20 activities; child workflows
// have the rest.
func TestFanOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		deliveries, activities, children int
	}{
		{1, 1, 0}, {500, 1, 0}, {501, 2, 0}, {1_200, 3, 0}, {10_000, 20, 0}, {10_001, 21, 2}, {12_000, 24, 2},
	} {
		t.Run(fmt.Sprint(c.deliveries), func(t *testing.T) {
			t.Parallel()
			inOneWorld(t, regular, func(w *world) {
				a := w.store.AddWebhook(urlA, nil)
				w.sender.Script(urlB, storagetest.Status(410))
				b := w.store.AddWebhook(urlB, nil)
				started, children := 0, map[string]bool{}
				w.env.SetOnActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { started++ })
				w.env.SetOnChildWorkflowCompletedListener(func(i *workflow.Info, _ converter.EncodedValue, _ error) {
					children[i.WorkflowExecution.ID] = true
				})
				// The delivery that fails is the last, farthest from the first part.
				targets := make([]hook.WebhookID, c.deliveries)
				for i := range targets {
					targets[i] = a
				}
				targets[len(targets)-1] = b
				s := w.store.Publish(eventType, `{}`, targets...)
				w.deliver(s)

				require.Equal(w, c.activities, started)
				require.Equal(w, c.activities, w.store.Slices(), "every slice once")
				require.Len(w, children, c.children)
				for i := range c.children {
					require.Contains(w, children, fmt.Sprintf("%s-%d", s.EventID, i))
				}
				require.Len(w, w.sender.Requests(urlA), c.deliveries-1)
				message, _ := w.requireFailed()
				require.Equal(w, fmt.Sprintf("1 of %d deliveries failed for good; %s failed: HTTP 410 Gone after 1 attempt", c.deliveries, b), message)
			})
		})
	}
}

// At ordinary rates no regular activity runs, unless the inline attempts have left something.
func TestInlineAttempts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answers        []storagetest.Outcome
		local, regular int
	}{
		"all succeed":           {[]storagetest.Outcome{storagetest.Status(200)}, 1, 0},
		"one fails":             {[]storagetest.Outcome{storagetest.Status(500), storagetest.Status(200)}, 1, 2}, // at once, and when it is due
		"one fails for good":    {[]storagetest.Outcome{storagetest.Status(410)}, 1, 0},
		"one webhook is slow":   {[]storagetest.Outcome{storagetest.Status(200).After(14 * second)}, 1, 0},
		"one webhook times out": {[]storagetest.Outcome{storagetest.Hang(), storagetest.Status(200)}, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inOneWorld(t, inline, func(w *world) {
				a, b := w.store.AddWebhook(urlA, nil), w.store.AddWebhook(urlB, nil)
				w.sender.Script(urlA, c.answers...)
				local, regular := 0, 0
				w.env.SetOnLocalActivityCompletedListener(func(*activity.Info, converter.EncodedValue, error) { local++ })
				w.env.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) { regular++ })
				w.deliver(w.store.Publish(eventType, payload, a, b))
				require.Equal(w, c.local, local)
				require.Equal(w, c.regular, regular)
				require.Len(w, w.sender.Requests(urlA), len(c.answers))
				require.Len(w, w.sender.Requests(urlB), 1)
			})
		})
	}
}

// Spec 7: Temporal holds no secret, payload or URL path.
func TestTemporalHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		secret := func(h *hook.Webhook) {
			h.Secret = "secret-of-the-webhook"
			h.Headers = map[string]hook.Secret{"Authorization": "secret-of-the-header"}
		}
		a, b := w.store.AddWebhook(urlA, secret), w.store.AddWebhook(urlB, secret)
		w.sender.Script(urlA, storagetest.Status(500))
		times := 0
		w.store.Fail = func(string) error {
			if times++; times == 2 {
				return errors.New(`insert "` + payload + `" at 10.0.0.1`)
			}
			return nil
		}
		var stored []string
		hold := func(v any) {
			text, err := json.Marshal(v)
			require.NoError(w, err)
			stored = append(stored, fmt.Sprintf("%s %+v", text, v))
		}
		w.env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
			var list []contract.Outcome
			require.NoError(w, details.Get(&list))
			hold(list)
		})
		w.env.SetOnActivityStartedListener(func(i *activity.Info, _ context.Context, args converter.EncodedValues) {
			var in contract.SliceInput
			require.NoError(w, args.Get(&in))
			hold(in)
			hold(*i)
		})
		w.env.SetOnLocalActivityCompletedListener(func(_ *activity.Info, result converter.EncodedValue, err error) {
			require.NoError(w, err)
			var r contract.InlineResult
			require.NoError(w, result.Get(&r))
			hold(r)
		})
		s := w.store.Publish(eventType, payload, a, b)
		options, input := workflows.DeliverStart(s)
		hold(options)
		stored = append(stored, fmt.Sprint(options.TypedSearchAttributes.GetUntypedValues()))
		hold(input)
		w.deliver(s)
		_, r := w.requireFailed()
		hold(r)
		stored = append(stored, w.failure.Error(), w.details())
		sendOptions, sendInput := workflows.SendNowStart(w.store.Delivery(a))
		hold(sendOptions)
		hold(sendInput)

		all := strings.Join(stored, "\n")
		require.Contains(w, all, "a.example", "the host is for people")
		require.Contains(w, all, a.String())
		for _, secret := range []string{"secret-of", "payload-of", "path-of", "query-of", "user_123", "10.0.0.1", "***"} {
			require.NotContains(w, all, secret)
		}
	})
}

// The Web UI shows a table of the outcomes with the workflow.
func TestCurrentDetails(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.deliver(w.store.Publish(eventType, payload, a))
		d := w.store.Delivery(a)
		require.Equal(w, "1 succeeded, 0 failed, 0 canceled\n\n"+
			"| webhook | state | attempts | status | error | delivery |\n|---|---|---|---|---|---|\n"+
			fmt.Sprintf("| `%s` | success | 1 | 200 |  | `%s` |\n", a, d.ID), w.details())
	})
}

// S13: a retry by hand is one attempt, marked manual, and leaves the schedule alone.
func TestSendNow(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(503).RetryAfter(hour))
		w.store.Publish(eventType, payload, a)
		due := w.accepted.Add(5 * minute)
		w.store.SetNextAttempt(a, due)
		before := w.store.Delivery(a)
		var outcome contract.Outcome
		options, input := workflows.SendNowStart(before)
		w.run(options, contract.NameSendNow, input, &outcome)

		require.NoError(w, w.failure, "a receiver that fails is a result")
		w.requireSentAt(urlA, 0)
		d := w.store.Delivery(a)
		require.Equal(w, 1, d.Attempts)
		require.Zero(w, d.Scheduled)
		require.Equal(w, due, *d.NextAttemptAt)
		log := w.store.Log(d.ID)
		require.Len(w, log, 1)
		require.True(w, log[0].Manual)
		require.Equal(w, contract.Outcome{
			WebhookID: a, DeliveryID: d.ID, State: hook.StateFailed, Attempts: 1, StatusCode: 503,
			Error: "HTTP 503 Service Unavailable", NextAt: due.UTC().Format("2006-01-02T15:04:05Z07:00"),
		}, outcome)
	})
}

// S11: a test is one attempt without a retry, also of an inactive webhook, and
// not marked manual.
func TestSendNowOfATest(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Active = false })
		w.sender.Script(urlA, storagetest.Status(500))
		d := w.store.Test(eventType, payload, a)
		var outcome contract.Outcome
		options, input := workflows.SendNowStart(d)
		require.Contains(w, options.StaticSummary, "test: user.created")
		w.run(options, contract.NameSendNow, input, &outcome)
		require.NoError(w, w.failure)
		w.requireSentAt(urlA, 0)
		require.Equal(w, hook.StateFailed, outcome.State)
		require.Empty(w, outcome.NextAt)
		require.False(w, w.store.Log(d.ID)[0].Manual)
		require.Equal(w, hook.HealthHealthy, w.store.Webhook(a).Health, "tests say nothing about health")
	})
}

func TestSendNowIsRefused(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *world, a hook.WebhookID){
		"webhook deleted":     func(w *world, a hook.WebhookID) { w.store.DeleteWebhook(a) },
		"webhook deactivated": func(w *world, a hook.WebhookID) { w.store.LoseWebhook(a, true) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				a := w.store.AddWebhook(urlA, nil)
				w.store.Publish(eventType, payload, a)
				lose(w, a)
				options, input := workflows.SendNowStart(w.store.Delivery(a))
				w.run(options, contract.NameSendNow, input, nil)
				var app *temporal.ApplicationError
				require.ErrorAs(w, w.failure, &app)
				require.Equal(w, contract.ErrorRefused, app.Type())
				require.Empty(w, w.sender.Requests(urlA))
			})
		})
	}
}

// Temporal never repeats a request by hand, whatever failed.
func TestSendNowIsOneAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.store.Publish(eventType, payload, a)
		w.store.Fail = func(op string) error {
			if op == storagetest.OpRecord {
				return errors.New("broken")
			}
			return nil
		}
		options, input := workflows.SendNowStart(w.store.Delivery(a))
		w.run(client.StartWorkflowOptions{ID: options.ID, TaskQueue: options.TaskQueue}, contract.NameSendNow, input, nil)
		var app *temporal.ApplicationError
		require.ErrorAs(w, w.failure, &app)
		require.Equal(w, contract.ErrorOurs, app.Type())
		require.Len(w, w.sender.Requests(urlA), 1)
	})
}
