package activities_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// Each write records all results that have arrived by then.
func TestResultsAreRecordedInBatches(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		targets := make([]hook.WebhookID, 10)
		for i := range targets {
			url := fmt.Sprintf("%s/%d", urlA, i)
			targets[i] = b.store.AddWebhook(url, nil)
			b.sender.Script(url, storagetest.Status(200).After(time.Duration(10+i)*10*time.Millisecond))
		}
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord {
				<-time.After(second) // a slow commit
			}
			return nil
		}
		_, err := b.deliver(b.store.Publish(eventType, payload, targets...))
		require.NoError(b, err)
		require.Equal(b, []int{1, 9}, b.store.Batches())
	})
}

// Spec 9, 10: attempts are recorded as soon as the store is available again, and not made
// twice. Deliveries that have failed together are not retried together.
func TestRecordingIsTriedAgain(t *testing.T) {
	t.Parallel()
	drawn := []time.Duration{0, 500 * time.Millisecond}
	jitter := func(d *activities.Deps) {
		d.Jitter = func(bound time.Duration) time.Duration {
			j := drawn[0]
			drawn = drawn[1:]
			require.Equal(t, 500*time.Millisecond, bound)
			return j
		}
	}
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA, nil)
		fails := 2
		b.store.Fail = func(op string) error {
			if op == storagetest.OpRecord && fails > 0 {
				fails--
				return hook.Unavailable("the store", errors.New("away"))
			}
			return nil
		}
		r, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.NoError(b, err)
		require.Equal(b, 1, r.Succeeded)
		b.requireSentAt(urlA, 0)
		require.Len(b, b.store.Log(b.store.Delivery(a).ID), 1)
		require.Equal(b, second, time.Since(b.start), "pauses of 0.25 and 0.75 s")
	}, jitter)
}

func TestRecordingIsGivenUpInTime(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err   error
		after time.Duration
	}{
		// A second before the test environment's timeout of ten minutes.
		"the store stays away": {hook.Unavailable("the store", errors.New("away")), 10*time.Minute - second},
		"a bug":                {errors.New("bug"), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBench(t, func(b *bench) {
				a := b.store.AddWebhook(urlA, nil)
				b.store.Fail = func(op string) error {
					if op == storagetest.OpRecord {
						return c.err
					}
					return nil
				}
				_, err := b.deliver(b.store.Publish(eventType, payload, a))
				b.asked(err, contract.ErrorOurs, 5*second)
				require.Equal(b, c.after, time.Since(b.start))
				require.Len(b, b.heartbeats, 1)
				require.Zero(b, b.store.Delivery(a).Attempts)
			})
		})
	}
}

// S13, spec 7: the log shows signatures, never a custom header's value; slog gets one line per
// attempt, without secrets, payload or path.
func TestAttemptIsLogged(t *testing.T) {
	t.Parallel()
	onBench(t, func(b *bench) {
		a := b.store.AddWebhook(urlA+"?token=query-of-a", func(h *hook.Webhook) {
			h.Secret, h.Headers = "secret-of-the-webhook", map[string]hook.Secret{"X-Api-Key": "secret-of-the-header"}
		})
		b.sender.Script(urlA+"?token=query-of-a", storagetest.Status(500))
		_, err := b.deliver(b.store.Publish(eventType, payload, a))
		require.Error(b, err)
		d := b.store.Delivery(a)
		request := b.sender.Requests(urlA + "?token=query-of-a")[0]
		require.Equal(b, "secret-of-the-header", request.Header.Get("X-Api-Key"), "the receiver gets it")
		logged := b.store.Log(d.ID)[0]
		require.Equal(b, "***", logged.RequestHeaders.Get("X-Api-Key"))
		require.Equal(b, request.Header.Get("X-Webhook-Signature"), logged.RequestHeaders.Get("X-Webhook-Signature"))

		line := b.log.String()
		require.Equal(b, 1, strings.Count(line, `"msg":"attempt"`))
		for _, has := range []string{
			d.ID.String(), a.String(), d.EventID.String(), d.TenantID.String(), `"event_type":"user.created"`, `"profile":"standard"`,
			`"host":"a.example"`, `"attempt":1`, `"status_code":500`, `"error_class":"status"`, `"outcome":"http_5xx"`, `"state":"failed"`,
			`"duration_ms":`, `"dns_ms":`, `"connect_ms":`, `"tls_ms":`, `"first_byte_ms":`, `"age_ms":`, `"manual":false`, `"test":false`,
			`"next_attempt_at":"` + b.start.Add(30*second).UTC().Format(time.RFC3339),
		} {
			require.Contains(b, line, has)
		}
		require.NotContains(b, line, "trace_id", "nothing is traced")
		for _, secret := range []string{"secret-of", "query-of", "user_123", "/a"} {
			require.NotContains(b, line, secret)
		}
	})
}
