package api_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// S12: a delivery that waits shows that and the reason everywhere, and shows no attempt in the past.
func TestWaitingDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	path := "/v1/webhooks/" + id
	f.do(t, http.MethodPatch, path, `{"paused":true}`, nil).object(t, http.StatusOK)
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{"disabled", true, "paused by the client: deliveries wait"}, []any{w["status"], w["active"], w["status_reason"]})
	delivery := f.deliver(t, id)
	shown := func() map[string]any {
		d := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
		for _, other := range []map[string]any{
			f.get(t, path+"/deliveries").list(t, "deliveries")[0],
			objects(t, f.get(t, "/v1/events/"+d["event_id"].(string)).object(t, http.StatusOK)["deliveries"])[0],
		} {
			require.Equal(t, d["waiting"], other["waiting"])
			require.Equal(t, d["workflow_id"], other["workflow_id"])
			require.Equal(t, d["next_attempt_at"] == nil, other["next_attempt_at"] == nil)
		}
		return d
	}
	d := shown()
	require.NotContains(t, d, "next_attempt_at")
	waiting := d["waiting"].(map[string]any)
	require.Equal(t, "paused", waiting["reason"])
	since, err := time.Parse(time.RFC3339Nano, waiting["since"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), since, time.Minute)
	require.NotContains(t, waiting, "next_probe_at")
	require.Equal(t, id+"-drain", d["workflow_id"], "found although it has no workflow of its own")
	require.Equal(t, "http://ui.example/namespaces/default/workflows/"+id+"-drain", d["workflow_url"])

	f.do(t, http.MethodPatch, path, `{"paused":false}`, nil).object(t, http.StatusOK)
	webhook, err := hook.ParseWebhookID(id)
	require.NoError(t, err)
	require.NoError(t, f.store.SetBreaker(t.Context(), webhook, true))
	require.Equal(t, "failing", f.get(t, path).object(t, http.StatusOK)["status"])
	f.exec(t, `update drains set probe_at = now() + interval '1 minute'`)
	waiting = shown()["waiting"].(map[string]any)
	require.Equal(t, "endpoint_unavailable", waiting["reason"])
	probe, err := time.Parse(time.RFC3339Nano, waiting["next_probe_at"].(string))
	require.NoError(t, err)
	require.Greater(t, probe, time.Now())

	require.NoError(t, f.store.SetBreaker(t.Context(), webhook, false))
	require.Equal(t, "in_flight_limit", shown()["waiting"].(map[string]any)["reason"])
	f.do(t, http.MethodPatch, path, `{"rate_limit":1}`, nil).object(t, http.StatusOK)
	require.Equal(t, "rate_limited", shown()["waiting"].(map[string]any)["reason"])

	f.again(t, delivery, success())
	d = shown()
	require.NotContains(t, d, "waiting")
	require.Equal(t, id+"-drain", d["workflow_id"])
}

// A delivery that is due shows the present as its time, never the past.
func TestNextAttemptIsNotInThePast(t *testing.T) {
	t.Parallel()
	f := setup(t)
	delivery := f.deliver(t, f.newWebhook(t, "user.created"))
	f.exec(t, `update deliveries set next_attempt_at = now() - interval '1 hour'`)
	before := time.Now().Truncate(time.Millisecond)
	d := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
	at, err := time.Parse(time.RFC3339Nano, d["next_attempt_at"].(string))
	require.NoError(t, err)
	require.False(t, at.Before(before), "%v", at)
	require.NotContains(t, d, "waiting")
	require.NotContains(t, d, "workflow_id", "it is the event's")
}

// S11, S13: a test or retry over a limit of its webhook is 429, says when to come again, and stores nothing.
func TestByHandOverALimit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, id)
	f.sender.err = &hook.Error{Kind: hook.KindRateLimited, Message: "the webhook is at its rate_limit", RetryAfter: 2 * time.Second, Err: errors.Join(hook.ErrNotSent, errors.New(marker))}
	for _, path := range []string{"/v1/webhooks/" + id + "/test", "/v1/deliveries/" + delivery + "/retry"} {
		a := f.post(t, path, "")
		a.problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED")
		require.Equal(t, "2", a.header.Get("Retry-After"))
		require.NotContains(t, string(a.body), "MARKER")
	}
	require.Zero(t, value[int](t, f, `select count(*) from deliveries where test`))
}

// blockingSender holds deliveries until it is released, and sends nothing.
type blockingSender struct{ entered, release chan struct{} }

func (s *blockingSender) Send(context.Context, hook.Delivery) error {
	s.entered <- struct{}{}
	<-s.release
	return hook.Unavailable("the worker", hook.ErrNotSent)
}

// The tests and retries of one account are bounded together, over all webhooks, and don't count for other accounts.
func TestByHandIsBoundedByTenant(t *testing.T) {
	t.Parallel()
	sender := &blockingSender{make(chan struct{}), make(chan struct{})}
	f := setup(t, func(d *api.Deps) { d.Sender = sender })
	one, two := f.newWebhook(t, "user.created"), f.newWebhook(t, "file.uploaded")
	delivery := f.deliver(t, one)
	paths := []string{"/v1/webhooks/" + one + "/test", "/v1/webhooks/" + two + "/test", "/v1/deliveries/" + delivery + "/retry"}
	_, key := f.newTenant(t)
	other := f.as(key)
	others := other.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"]}`).object(t, http.StatusCreated)["id"].(string)

	var sending sync.WaitGroup
	for i := range 16 {
		sending.Go(func() { f.post(t, paths[i%len(paths)], "") })
		<-sender.entered
	}
	for _, path := range paths {
		a := f.post(t, path, "")
		a.problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED")
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	sending.Go(func() { other.post(t, "/v1/webhooks/"+others+"/test", "") })
	<-sender.entered
	close(sender.release)
	sending.Wait()
	require.Zero(t, value[int](t, f, `select count(*) from deliveries where test`))
}
