package api_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// attempt returns an attempt that took 84.2 ms and has just ended.
func attempt() hook.Attempt {
	return hook.Attempt{
		URL: "https://yourapp.com/webhook", StartedAt: time.Now().Add(-84 * time.Millisecond), Duration: 84_200 * time.Microsecond,
		Timings: hook.Timings{
			DNS: 1300 * time.Microsecond, Connect: 12 * time.Millisecond, TLS: 25 * time.Millisecond, FirstByte: 83 * time.Millisecond,
		},
		RemoteAddr:     "203.0.113.7:443",
		RequestHeaders: http.Header{"Content-Type": {"application/json"}, "X-Webhook-Signature": {"c0ffee"}, "X-Api-Key": {"***"}},
	}
}

func success() hook.Attempt {
	a := attempt()
	a.StatusCode, a.ResponseHeaders, a.ResponseBody = 200, http.Header{"Content-Type": {"text/plain"}}, []byte("OK")
	return a
}

func failure(status int) hook.Attempt {
	a := success()
	a.StatusCode = status
	a.Class, a.Error = hook.StatusFailure(status)
	return a
}

func timeout() hook.Attempt {
	a := attempt()
	a.Class, a.Error = hook.ClassTimeout, "Connection timeout"
	return a
}

// again records one more attempt of the delivery.
func (f *fixture) again(t *testing.T, delivery string, a hook.Attempt) {
	t.Helper()
	id, err := hook.ParseDeliveryID(delivery)
	require.NoError(t, err)
	f.record(t, hook.Delivery{ID: id}, a)
}

// S12: the answer has exactly these members. Missing values are absent, not null.
func TestDeliveryShape(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	path := "/v1/webhooks/" + id + "/deliveries"
	require.Equal(t, map[string]any{"deliveries": []any{}, "next_cursor": nil}, f.get(t, path).object(t, http.StatusOK))
	newest := func(attempts ...hook.Attempt) map[string]any {
		delivery := f.deliver(t, id, attempts...)
		d := f.get(t, path).list(t, "deliveries")[0]
		require.Equal(t, delivery, d["id"])
		require.Regexp(t, `^del_[0-7][0-9a-hjkmnp-tv-z]{25}$`, d["id"])
		require.Regexp(t, `^evt_`, d["event_id"])
		require.Equal(t, []any{id, "user.created"}, []any{d["webhook_id"], d["event_type"]})
		moment(t, d["created_at"])
		for _, known := range []string{"id", "event_id", "webhook_id", "event_type", "created_at"} {
			delete(d, known)
		}
		if e, ok := d["explanation"]; ok != (d["error"] != nil) || ok && e.(map[string]any)["summary"] == "" {
			t.Fatalf("the explanation %v of the error %v", e, d["error"])
		}
		delete(d, "explanation")
		return d
	}
	next := func(d map[string]any, in time.Duration) {
		at, err := time.Parse(time.RFC3339Nano, d["next_attempt_at"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(in), at, 5*time.Second)
		delete(d, "next_attempt_at")
	}

	d := newest()
	next(d, 0)
	require.Equal(t, map[string]any{"status": "pending", "attempts": 0.0}, d)

	d = newest(success())
	moment(t, d["delivered_at"])
	delete(d, "delivered_at")
	require.Equal(t, map[string]any{"status": "success", "status_code": 200.0, "attempts": 1.0}, d)

	d = newest(timeout())
	next(d, 30*time.Second)
	require.Equal(t, map[string]any{"status": "failed", "attempts": 1.0, "error": "Connection timeout"}, d)

	// The documented example: 500, 500, timeout.
	d = newest(failure(500), failure(500), timeout())
	next(d, 30*time.Minute)
	require.Equal(t, map[string]any{"status": "failed", "status_code": 500.0, "attempts": 3.0, "error": "Connection timeout"}, d)

	d = newest(failure(500), failure(500), failure(503), timeout(), failure(500))
	require.Equal(t, map[string]any{"status": "failed", "status_code": 500.0, "attempts": 5.0, "error": "HTTP 500 Internal Server Error"}, d)

	d = newest(failure(404), success())
	require.Equal(t, []any{"success", 200.0, 2.0, nil}, []any{d["status"], d["status_code"], d["attempts"], d["error"]})
}

// S12: newest first, pages, filters.
func TestListDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created", "file.uploaded")
	path := "/v1/webhooks/" + id + "/deliveries"
	pending := f.deliver(t, id)
	succeeded := f.deliver(t, id, success())
	failed := f.deliver(t, id, failure(500))
	f.newWebhook(t, "file.uploaded")
	f.post(t, "/v1/events", `{"type":"file.uploaded","data":1}`).object(t, http.StatusAccepted)
	all := f.pages(t, path, "deliveries", 2, 4)
	require.Len(t, all, 4)
	require.Equal(t, []string{failed, succeeded, pending}, all[1:])
	for query, want := range map[string][]string{
		"status=pending&event_type=user.created": {pending},
		"status=success":                         {succeeded},
		"status=failed":                          {failed},
		"status=canceled":                        {},
		"status=timed_out":                       {},
		"status=dropped":                         {},
		"event_type=file.uploaded":               {all[0]},
		"event_type=user.created":                {failed, succeeded, pending},
		"event_type=nothing":                     {},
		"since=2026-01-01T00:00:00Z":             all,
		"since=2999-01-01T00:00:00Z":             {},
		"until=2999-01-01T00:00:00Z":             all,
		"until=2026-01-01T00:00:00Z":             {},
	} {
		require.Equal(t, want, ids(f.get(t, path+"?"+query).list(t, "deliveries")), query)
	}
	f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":false}`, nil).object(t, http.StatusOK)
	require.Equal(t, []string{all[0], failed, pending}, ids(f.get(t, path+"?status=canceled").list(t, "deliveries")))
}

// S13: every attempt, with signatures shown and custom values redacted.
func TestAttemptLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	binary := failure(500)
	binary.ResponseBody = []byte{0xff, 0}
	d := f.get(t, "/v1/deliveries/"+f.deliver(t, id, timeout(), binary, success())).object(t, http.StatusOK)
	require.Equal(t, "success", d["status"])
	log := objects(t, d["attempt_log"])
	require.Len(t, log, 3)
	for i, a := range log {
		require.EqualValues(t, i+1, a["number"])
		at, err := time.Parse(time.RFC3339Nano, a["started_at"].(string))
		require.NoError(t, err)
		require.WithinDuration(t, time.Now(), at, time.Minute)
		require.Equal(t, time.UTC, at.Location())
		delete(a, "number")
		delete(a, "started_at")
	}
	sent := map[string]any{
		"duration_ms": 84.2, "remote_address": "203.0.113.7:443",
		"timings": map[string]any{"dns_ms": 1.3, "connect_ms": 12.0, "tls_ms": 25.0, "first_byte_ms": 83.0},
		"request": map[string]any{"url": "https://yourapp.com/webhook", "headers": map[string]any{
			"Content-Type": []any{"application/json"}, "X-Webhook-Signature": []any{"c0ffee"}, "X-Api-Key": []any{"***"},
		}},
	}
	with := func(more map[string]any) map[string]any {
		for k, v := range sent {
			more[k] = v
		}
		return more
	}
	plain := map[string]any{"Content-Type": []any{"text/plain"}}
	require.Equal(t, with(map[string]any{"error": map[string]any{"class": "timeout", "message": "Connection timeout"}, "explanation": log[0]["explanation"]}), log[0])
	require.Contains(t, log[0]["explanation"].(map[string]any)["summary"], "within 84 ms")
	require.Equal(t, with(map[string]any{
		"response": map[string]any{"status_code": 500.0, "headers": plain, "body": "", "body_base64": "/wA="},
		"error":    map[string]any{"class": "status", "message": "HTTP 500 Internal Server Error"},
		"explanation": map[string]any{
			"summary":   "The receiver answered 500 Internal Server Error: an error within the receiver.",
			"next_step": "Look into the receiver's log at the time of the attempt.",
		},
	}), log[1])
	require.Equal(t, with(map[string]any{"response": map[string]any{"status_code": 200.0, "headers": plain, "body": "OK"}}), log[2])

	d = f.get(t, "/v1/deliveries/"+f.deliver(t, id)).object(t, http.StatusOK)
	require.Equal(t, []any{}, d["attempt_log"])
}

// S13: retry sends now, whatever the state, and leaves the schedule as it is.
func TestRetryDelivery(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	retry := func(delivery string, outcome hook.Attempt) map[string]any {
		f.sender.outcome = outcome
		return f.post(t, "/v1/deliveries/"+delivery+"/retry", "").object(t, http.StatusOK)
	}
	delivery := f.deliver(t, id, failure(500))
	before := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
	d := retry(delivery, failure(503))
	require.Equal(t, delivery, f.sender.sent[0].ID.String())
	require.Equal(t, []any{"failed", 2.0, 503.0}, []any{d["status"], d["attempts"], d["status_code"]})
	require.Equal(t, before["next_attempt_at"], d["next_attempt_at"])
	log := objects(t, d["attempt_log"])
	require.NotContains(t, log[0], "manual")
	require.Equal(t, true, log[1]["manual"])

	d = retry(delivery, success())
	require.Equal(t, "success", d["status"])
	require.NotContains(t, d, "next_attempt_at", "nothing is left to do")
	d = retry(delivery, success())
	require.Equal(t, []any{"success", 4.0}, []any{d["status"], d["attempts"]}, "a delivered one can be sent again")

	final := f.deliver(t, id, failure(500), failure(500), failure(500), failure(500), failure(500))
	d = retry(final, success())
	require.Equal(t, []any{"success", 6.0}, []any{d["status"], d["attempts"]})
	require.Empty(t, f.dispatched.starts[2:], "a retry is no new event")
}

func TestRetryDeliveryThatCannotBeSent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	delivery := f.deliver(t, f.newWebhook(t, "user.created"), success())
	before := f.get(t, "/v1/deliveries/"+delivery).body
	f.sender.err = &hook.Error{Kind: hook.KindPrecondition, Message: "the webhook is deleted or disabled", Err: errors.New(marker)}
	a := f.post(t, "/v1/deliveries/"+delivery+"/retry", "")
	a.problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.NotContains(t, string(a.body), "MARKER")
	f.sender.err = hook.Unavailable("Temporal", errors.New(marker))
	a = f.post(t, "/v1/deliveries/"+delivery+"/retry", "")
	a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	require.NotContains(t, string(a.body), "MARKER")
	require.Equal(t, before, f.get(t, "/v1/deliveries/"+delivery).body)
}
