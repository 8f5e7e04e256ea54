package workflows_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/egress"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// Spec 9: Retry-After on 429 and 503, in seconds or as a date, postpones the next attempt if it
// is later than the schedule, up to 24 h; there are still five attempts. An unreadable value,
// or another status, changes nothing.
func TestRetryAfterByHTTP(t *testing.T) {
	t.Parallel()
	const schedule = 30 * second
	inDate := func(d time.Duration) func() string {
		return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	for name, c := range map[string]struct {
		status int
		value  any // a string, or a function that makes one when the receiver answers
		waits  time.Duration
	}{
		"429, seconds":                    {429, "600", 10 * minute},
		"503, seconds":                    {503, "600", 10 * minute},
		"429, date":                       {429, inDate(10 * minute), 10 * minute},
		"503, date":                       {503, inDate(10 * minute), 10 * minute},
		"seconds, earlier than schedule":  {503, "5", schedule},
		"date, earlier than the schedule": {503, inDate(5 * second), schedule},
		"zero":                            {429, "0", schedule},
		"negative":                        {503, "-600", schedule},
		"date gone by":                    {429, inDate(-hour), schedule},
		"seconds beyond a day":            {503, "172800", 24 * hour},
		"seconds beyond all numbers":      {503, "99999999999999999999999999", 24 * hour},
		"date beyond a day":               {429, inDate(30 * 24 * hour), 24 * hour},
		"nonsense":                        {503, "in a while", schedule},
		"fraction":                        {503, "600.5", schedule},
		"empty":                           {503, "", schedule},
		"500":                             {500, "600", schedule},
		"502":                             {502, "600", schedule},
		"504":                             {504, "600", schedule},
		"504, date":                       {504, inDate(10 * minute), schedule},
		"404":                             {404, "600", schedule},
		"301, never followed":             {301, "600", schedule},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, regular)
			var mu sync.Mutex
			var at []time.Duration
			server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				mu.Lock()
				at = append(at, w.now().Sub(w.accepted))
				first := len(at) == 1
				mu.Unlock()
				if first {
					value, ok := c.value.(string)
					if !ok {
						value = c.value.(func() string)()
					}
					rw.Header().Set("Retry-After", value)
				}
				rw.WriteHeader(c.status)
			}))
			t.Cleanup(server.Close)
			client, err := egress.New(egress.Config{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
			require.NoError(t, err)
			t.Cleanup(client.Close)
			w.real = client
			a := w.store.AddWebhook(server.URL, nil)
			w.deliver(w.store.Publish(eventType, payload, a))
			w.requireFailed()
			require.Len(t, at, 5, "the attempt count is kept")
			for i, delay := range []time.Duration{c.waits, 5 * minute, 30 * minute, 2 * hour} {
				require.InDelta(t, delay.Seconds(), (at[i+1] - at[i]).Seconds(), 5, "delay %d", i+1)
			}
			require.Equal(t, 5, w.store.Delivery(a).Attempts)
			require.True(t, w.store.Webhook(a).Active)
		})
	}
}

// Spec 9: a receiver that asks for a day on every attempt gets its five attempts within little
// more than four days.
func TestRetryAfterOnEveryAttempt(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(429).RetryAfter(24*hour))
		w.deliver(w.store.Publish(eventType, payload, a))
		w.requireFailed()
		w.requireSentAt(urlA, 0, 24*hour, 48*hour, 72*hour, 96*hour)
		require.Equal(w, 5, w.store.Delivery(a).Attempts)
	})
}

// Spec 9: 410 on any attempt, of any profile, ends the delivery and the webhook's other
// deliveries; another webhook of the event is not affected.
func TestGoneOnALaterAttempt(t *testing.T) {
	t.Parallel()
	for _, p := range []hook.Profile{hook.ProfileStandard, hook.ProfileCommenda} {
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			inWorld(t, func(w *world) {
				a := w.store.AddWebhook(urlA, func(h *hook.Webhook) { h.Profile = p })
				b := w.store.AddWebhook(urlB, nil)
				w.sender.Script(urlA, storagetest.Status(503), storagetest.Status(503), storagetest.Status(503), storagetest.Status(410))
				w.sender.Script(urlB, storagetest.Status(500), storagetest.Status(500), storagetest.Status(200))
				starts := []hook.Start{w.store.Publish(eventType, payload, a, b), w.store.Publish(eventType, payload, a)}
				w.deliver(hook.Share("burst", starts))
				_, r := w.requireFailed()
				require.Equal(w, 1, r.Succeeded)
				w.requireSentAt(urlA, 0, 0, 30*second, 30*second) // two events, twice each
				w.requireSentAt(urlB, 0, 30*second, 5*minute+30*second)
				gone := w.store.Webhook(a)
				require.Equal(w, []any{false, "disabled", "gone"}, []any{gone.Active, gone.Status(), gone.StatusReason()})
				states := map[hook.DeliveryState]int{}
				for _, d := range w.store.Deliveries(a) {
					states[d.State]++
					require.Nil(w, d.NextAttemptAt)
					require.Equal(w, 2, d.Attempts)
				}
				require.Equal(w, map[hook.DeliveryState]int{hook.StateFailed: 1, hook.StateCanceled: 1}, states)
				require.True(w, w.store.Webhook(b).Active)
			})
		})
	}
}

// publishDaily publishes an event for the webhook at noon and at midnight, from the given day
// on, and runs the workflow of each.
func (w *world) publishDaily(a hook.WebhookID, from float64, events int) {
	w.Helper()
	for i := range events {
		w.at(time.Duration((from*24+float64(i)*12)*float64(hour)) + minute)
		w.deliver(w.store.Publish(eventType, payload, a))
	}
}

// status returns the status of the webhook (S3).
func (w *world) status(a hook.WebhookID) []any {
	w.Helper()
	h := w.store.Webhook(a)
	return []any{h.Active, h.Status(), h.StatusReason()}
}

// S14: a webhook that has only failed for 5 days is disabled, with the reason, by the first
// failure after that; its pending deliveries are canceled and nothing more is sent.
func TestFailingForFiveDaysInSkippedTime(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		pending := w.store.Publish(eventType, payload, a)
		w.publishDaily(a, 0, 10)
		require.Equal(w, []any{true, "failed", "a delivery failed for good"}, w.status(a), "4.5 days and two hours")
		require.Len(w, w.sender.Requests(urlA), 10*5)
		w.publishDaily(a, 5, 1)
		require.Equal(w, []any{false, "disabled", "failing for 5 days"}, w.status(a))
		require.Len(w, w.sender.Requests(urlA), 10*5+2, "five days are over with the second")
		for _, d := range w.store.Deliveries(a) {
			require.Nil(w, d.NextAttemptAt)
			require.Equal(w, d.EventID == pending.EventID, d.State == hook.StateCanceled && d.Attempts == 0)
		}
		w.publishDaily(a, 5.5, 1)
		require.Len(w, w.sender.Requests(urlA), 10*5+2, "nothing more is sent")
	})
}

// S14: one success within the five days makes them begin anew.
func TestASuccessWithinFiveDays(t *testing.T) {
	t.Parallel()
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, append(outcomes(storagetest.Status(500), 29), storagetest.Status(200), storagetest.Status(500))...)
		w.publishDaily(a, 0, 15)
		require.Equal(w, []any{true, "failed", "a delivery failed for good"}, w.status(a), "day 7, but a success on day 2")
		w.publishDaily(a, 8, 1)
		require.Equal(w, []any{false, "disabled", "failing for 5 days"}, w.status(a))
	})
}

// S14: a webhook that is enabled again is healthy, gets deliveries, and has five days again.
func TestReenabledAfterFiveDays(t *testing.T) {
	t.Parallel()
	reenable := func(h *hook.Webhook) { h.Active, h.DisabledReason, h.Health = true, "", hook.HealthHealthy }
	inWorld(t, func(w *world) {
		a := w.store.AddWebhook(urlA, nil)
		w.sender.Script(urlA, storagetest.Status(500))
		w.publishDaily(a, 0, 11)
		require.Equal(w, []any{false, "disabled", "failing for 5 days"}, w.status(a))
		sent := len(w.sender.Requests(urlA))

		w.store.ChangeWebhook(a, reenable)
		require.Equal(w, []any{true, "healthy", ""}, w.status(a))
		w.publishDaily(a, 6, 10)
		require.Equal(w, []any{true, "failed", "a delivery failed for good"}, w.status(a), "for 4.5 days now")
		require.Len(w, w.sender.Requests(urlA), sent+10*5)
		w.publishDaily(a, 12, 1)
		require.Equal(w, []any{false, "disabled", "failing for 5 days"}, w.status(a))

		w.store.ChangeWebhook(a, reenable)
		w.sender.Script(urlA, storagetest.Status(204))
		w.publishDaily(a, 13, 1)
		require.Equal(w, []any{true, "healthy", ""}, w.status(a))
	})
}
