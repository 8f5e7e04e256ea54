package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S11: a test without body and content type makes one attempt, whose outcome is the answer.
func TestTestWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "project.created", "user.created")
	d := f.post(t, "/v1/webhooks/"+id+"/test", "").object(t, http.StatusOK)
	require.Len(t, f.sender.sent, 1)
	require.True(t, f.sender.sent[0].Test)
	require.Equal(t, f.sender.sent[0].ID.String(), d["id"])
	require.Equal(t, id, d["webhook_id"])
	require.Equal(t, "project.created", d["event_type"], "one of the webhook's types")
	require.Equal(t, true, d["test"])
	require.Equal(t, "success", d["status"])
	require.EqualValues(t, 1, d["attempts"])
	require.Len(t, d["attempt_log"], 1)
	require.Empty(t, f.dispatched.events(), "a test is sent by the sender alone")
	require.Zero(t, value[int](t, f, `select count(*) from outbox`))

	e := f.get(t, "/v1/events/"+d["event_id"].(string)).object(t, http.StatusOK)
	require.Equal(t, "project.created", e["type"])
	require.NotEmpty(t, e["data"])
	// The log marks it as a test.
	listed := f.get(t, "/v1/webhooks/"+id+"/deliveries").list(t, "deliveries")
	require.Equal(t, []string{d["id"].(string)}, ids(listed))
	require.Equal(t, true, listed[0]["test"])
}

// S11: the answer has status code, duration and error. A test is not retried and does not change the webhook's status.
func TestTestWebhookThatFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.sender.outcome = failure(500)
	id := f.newWebhook(t, "user.created")
	d := f.post(t, "/v1/webhooks/"+id+"/test", "").object(t, http.StatusOK)
	require.Equal(t, "failed", d["status"])
	require.EqualValues(t, 500, d["status_code"])
	require.Equal(t, "HTTP 500 Internal Server Error", d["error"])
	require.Positive(t, objects(t, d["attempt_log"])[0]["duration_ms"])
	require.Equal(t, "healthy", f.get(t, "/v1/webhooks/"+id).object(t, http.StatusOK)["status"])
}

// S11: with type and data, also when inactive.
func TestTestWebhookWithTypeAndData(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.*")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":false}`, nil).object(t, http.StatusOK)
	path := "/v1/webhooks/" + id + "/test"
	stored := func(d map[string]any) string {
		var e struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(t, json.Unmarshal(f.get(t, "/v1/events/"+d["event_id"].(string)).body, &e))
		return string(e.Data)
	}
	d := f.post(t, path, `{"type":"file.uploaded","data":{"b":1.0,"0":null}}`).object(t, http.StatusOK)
	require.Equal(t, "file.uploaded", d["event_type"])
	require.Equal(t, `{"0":null,"b":1}`, stored(d))
	require.Equal(t, "success", d["status"])
	d = f.post(t, path, `{"data":[1]}`).object(t, http.StatusOK)
	require.Equal(t, "user.created", d["event_type"], "a type that the pattern matches")
	require.Equal(t, `[1]`, stored(d))
	d = f.post(t, path, `{"data":null}`).object(t, http.StatusOK)
	require.Equal(t, `null`, stored(d))
	d = f.post(t, path, `{}`).object(t, http.StatusOK)
	require.Equal(t, string(hook.SampleData("user.created")), stored(d))
	require.Len(t, f.sender.sent, 4)
}

func TestTestWebhookRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created") + "/test"
	for body, location := range map[string]string{
		`{"type":"user.create"}`:   "body.type",
		`{"type":""}`:              "body.type",
		`{"types":"user.created"}`: "body.types",
		`{"data":{"a":1,"a":1}}`:   "body/data/a",
		`[]`:                       "body",
	} {
		f.post(t, path, body).refused(t, location, "")
	}
	f.post(t, path, `{`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.do(t, http.MethodPost, path, `{}`, map[string]string{"Content-Type": "text/plain"}).problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
	f.post(t, path, `{"data":"`+strings.Repeat("a", 102_400)+`"}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	require.Empty(t, f.sender.sent)
	require.Zero(t, value[int](t, f, `select count(*) from events`))
	// curl -d "" sends a form's content type and no body.
	a := f.do(t, http.MethodPost, path, "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	require.Equal(t, http.StatusOK, a.status)
}

// S11, spec 6: a test that was certainly not sent is removed. One that may have been sent stays for the outcome that
// may still arrive.
func TestTestWebhookThatCouldNotBeSent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
		rows   int
	}{
		"not sent":   {hook.Unavailable("Temporal", fmt.Errorf("%w: %s", hook.ErrNotSent, marker)), 503, "UNAVAILABLE", 0},
		"disabled":   {&hook.Error{Kind: hook.KindPrecondition, Err: errors.New(marker)}, 409, "FAILED_PRECONDITION", 0},
		"conflict":   {&hook.Error{Kind: hook.KindConflict, Err: errors.New(marker)}, 409, "ALREADY_EXISTS", 0},
		"gone":       {hook.NotFound("webhook"), 404, "NOT_FOUND", 0},
		"no outcome": {hook.Unavailable("sending", errors.New(marker)), 503, "UNAVAILABLE", 1},
		"a bug":      {errors.New(marker), 500, "INTERNAL", 1},
	} {
		f.sender.err = c.err
		a := f.post(t, "/v1/webhooks/"+id+"/test", "")
		a.problem(t, c.status, c.code)
		if c.status == http.StatusServiceUnavailable {
			require.NotEmpty(t, a.header.Get("Retry-After"))
		}
		require.NotContains(t, string(a.body), "MARKER")
		require.Equal(t, 2*c.rows, value[int](t, f, `select (select count(*) from events) + (select count(*) from deliveries)`), name)
		f.exec(t, `truncate events, deliveries cascade`)
	}
}

// If the client disconnects, a test that is being sent stays.
func TestTestWebhookWhoseCallerGoesAway(t *testing.T) {
	t.Parallel()
	sending, release := make(chan context.Context, 1), make(chan struct{})
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	f.sender.wait = func(ctx context.Context) error {
		sending <- ctx
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return hook.Unavailable("sending", ctx.Err())
		}
	}
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.server.URL+"/v1/webhooks/"+id+"/test", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+f.key)
	left := make(chan struct{})
	go func() {
		defer close(left)
		response, err := f.server.Client().Do(r)
		if err == nil {
			response.Body.Close()
		}
	}()
	send := <-sending
	leave()
	<-left
	deadline, bounded := send.Deadline()
	require.True(t, bounded)
	require.WithinDuration(t, time.Now().Add(time.Minute), deadline, 20*time.Second)
	require.NoError(t, send.Err())
	close(release)
	require.Eventually(t, func() bool {
		return value[int](t, f, `select count(*) from deliveries where state = 'success'`) == 1
	}, 10*time.Second, 10*time.Millisecond)
	f.server.Close() // waits for the request
	require.NotContains(t, f.log.String(), "level=ERROR")
	require.NotContains(t, f.log.String(), "level=WARN")
}
