package api_test

import (
	"encoding/base64"
	"log/slog"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// S3: status and its reason.
func TestGetWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	path := "/v1/webhooks/" + id
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, id, w["id"])
	require.Equal(t, "healthy", w["status"])
	require.NotContains(t, w, "status_reason")
	require.NotContains(t, w, "secret")
	moment(t, w["updated_at"])

	status := func() []any {
		w := f.get(t, path).object(t, http.StatusOK)
		return []any{w["status"], w["status_reason"], w["active"]}
	}
	delivery := f.deliver(t, id, failure(500))
	require.Equal(t, []any{"failing", nil, true}, status())
	for range 4 {
		f.again(t, delivery, failure(500))
	}
	require.Equal(t, []any{"failed", hook.ReasonFailedFinal, true}, status(), "S14: active stays true")
	f.deliver(t, id, success())
	require.Equal(t, []any{"healthy", nil, true}, status(), "S14: a success makes it healthy")
	f.deliver(t, id, failure(410))
	require.Equal(t, []any{"disabled", "gone", false}, status(), "9: 410 disables")

	// S4: activated again, it is healthy, gets events, and has five days again.
	for _, reason := range []string{"gone", "failing for 5 days"} {
		f.exec(t, `update webhooks set active = false, disabled_reason = $1, health = 'failed', failing_since = now() - interval '6 days'`, reason)
		require.Equal(t, []any{"disabled", reason, false}, status())
		f.do(t, http.MethodPatch, path, `{"description":"the same"}`, nil).object(t, http.StatusOK)
		require.Equal(t, []any{"disabled", reason, false}, status(), "another change wakes nobody")
		f.do(t, http.MethodPatch, path, `{"active":true}`, nil).object(t, http.StatusOK)
		require.Equal(t, []any{"healthy", nil, true}, status())
		f.deliver(t, id, failure(500))
		require.Equal(t, []any{"failing", nil, true}, status())
	}
}

// S4: each member can be changed by itself, and the others stay.
func TestUpdateWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
	before := f.get(t, path).object(t, http.StatusOK)
	delete(before, "updated_at")
	for _, c := range []struct {
		body, member string
		want         any
	}{
		{`{}`, "active", true},
		{`{"url":"https://other.example/hook"}`, "url", "https://other.example/hook"},
		{`{"events":["user.deleted","project.*","user.deleted"]}`, "events", []any{"user.deleted", "project.*"}},
		{`{"description":"new"}`, "description", "new"},
		{`{"description":""}`, "description", nil},
		{`{"headers":{"X-A":"1"}}`, "headers", map[string]any{"X-A": "***"}},
		{`{"headers":{}}`, "headers", nil},
		{`{"timeout_seconds":1}`, "timeout_seconds", 1.0},
		{`{"rate_limit":7}`, "rate_limit", 7.0},
		{`{"rate_limit":0}`, "rate_limit", nil},
		{`{"max_attempts":2}`, "max_attempts", 2.0},
	} {
		after := f.do(t, http.MethodPatch, path, c.body, nil).object(t, http.StatusOK)
		require.Equal(t, after, f.get(t, path).object(t, http.StatusOK), c.body)
		require.Equal(t, c.want, after[c.member], c.body)
		moment(t, after["updated_at"])
		delete(after, "updated_at")
		if before[c.member] = c.want; c.want == nil {
			delete(before, c.member)
		}
		require.Equal(t, before, after, "%s changes nothing else", c.body)
	}

	answer := f.do(t, http.MethodPatch, path, `{"secret":"new secret"}`, nil)
	require.NotContains(t, answer.object(t, http.StatusOK), "secret")
	require.Equal(t, "new secret", f.get(t, path+"/secret").object(t, http.StatusOK)["secret"])
}

// S4, S15: deactivating cancels outstanding deliveries visibly, and new events make no delivery. Activating begins
// afresh.
func TestDeactivateWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, id)
	w := f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":false}`, nil).object(t, http.StatusOK)
	require.Equal(t, "disabled", w["status"])
	require.Equal(t, hook.ReasonByClient, w["status_reason"])
	d := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
	require.Equal(t, "canceled", d["status"])
	require.Equal(t, "Webhook disabled", d["error"])
	require.NotContains(t, d, "next_attempt_at")
	require.EqualValues(t, 0, f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])

	w = f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":true}`, nil).object(t, http.StatusOK)
	require.Equal(t, "healthy", w["status"])
	require.NotContains(t, w, "status_reason")
	require.Equal(t, "canceled", f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)["status"])
	require.EqualValues(t, 1, f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])
}

// S4, spec 6: nothing changes if one value is invalid.
func TestUpdateWebhookRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "http://10.0.0.1/"
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
	before, secret := f.get(t, path).body, f.get(t, path+"/secret").body
	for body, location := range map[string]string{
		`"url":"ftp://x"`:            "body.url",
		`"url":"http://10.0.0.1/"`:   "body.url",
		`"events":[]`:                "body.events",
		`"events":["user.create"]`:   "body.events[0]",
		`"secret":""`:                "body.secret",
		`"timeout_seconds":31`:       "body.timeout_seconds",
		`"rate_limit":-1`:            "body.rate_limit",
		`"max_attempts":0`:           "body.max_attempts",
		`"headers":{"Host":"x"}`:     "body.headers.Host",
		`"profile":"commenda"`:       "body.profile",
		`"id":"hook_1"`:              "body.id",
		`"status":"healthy"`:         "body.status",
		`"active":"no"`:              "body.active",
		`"Description":"other case"`: "body.Description",
	} {
		all := `{"description":"changed",` + body + `}`
		f.do(t, http.MethodPatch, path, all, nil).refused(t, location, "")
		require.JSONEq(t, string(before), string(f.get(t, path).body), all)
	}
	require.JSONEq(t, string(secret), string(f.get(t, path+"/secret").body))
	f.do(t, http.MethodPatch, path, "", nil).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
}

// S5: the webhook and its secret are gone, and outstanding deliveries are canceled.
func TestDeleteWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	path := "/v1/webhooks/" + id
	delivery := f.deliver(t, id)
	a := f.do(t, http.MethodDelete, path, "", nil)
	require.Equal(t, http.StatusNoContent, a.status)
	require.Empty(t, a.body)
	require.Empty(t, a.header.Get("Content-Type"))
	for _, c := range []struct{ method, path string }{
		{"GET", path}, {"DELETE", path}, {"GET", path + "/secret"}, {"POST", path + "/test"},
	} {
		f.do(t, c.method, c.path, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	require.Empty(t, f.get(t, "/v1/webhooks").list(t, "webhooks"))
	d := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
	require.Equal(t, "canceled", d["status"])
	require.Equal(t, "Webhook deleted", d["error"])
	require.EqualValues(t, 0, f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])
}

// Nothing within UpdateWebhook's transaction takes a second connection. With a pool of one connection, the transaction
// would wait for itself.
func TestUpdateWebhookTakesOneConnection(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil)
	webhook := f.newWebhook(t, "user.created")
	u, err := url.Parse(f.db.Config().ConnString())
	require.NoError(t, err)
	query := u.Query()
	query.Set("pool_max_conns", "1")
	u.RawQuery = query.Encode()
	box, err := secrets.New(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	store, err := storage.Open(t.Context(), storage.Config{URL: u.String(), Box: box})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	c, _ := serve(t, api.Deps{
		Store: store, Dispatcher: f.dispatched, Sender: f.sender, Destinations: f.blocked, Topics: f.topics, Changes: f.watch, Logger: slog.New(slog.DiscardHandler),
		Config: api.Config{Timeout: 5 * time.Second},
	})
	c.key = f.key
	c.server.Client().Timeout = 10 * time.Second
	c.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"events":["invoice.paid"]}`, nil).object(t, http.StatusOK)
	c.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"events":["invoice.payd"]}`, nil).refused(t, "body.events[0]", "did you mean invoice.paid?")
}

// S4: a webhook whose URL the operator has forbidden since can still be disabled and renamed. Only a new URL is
// checked.
func TestUpdateWebhookWithAURLThatIsForbiddenNow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	f.blocked.url = "https://yourapp.com/webhook"
	path := "/v1/webhooks/" + webhook
	f.do(t, http.MethodPatch, path, `{"description":"x","url":"https://yourapp.com/webhook"}`, nil).object(t, http.StatusOK)
	require.Equal(t, false, f.do(t, http.MethodPatch, path, `{"active":false}`, nil).object(t, http.StatusOK)["active"])
	f.do(t, http.MethodPatch, path, `{"url":"https://elsewhere.example/"}`, nil).object(t, http.StatusOK)
	f.do(t, http.MethodPatch, path, `{"url":"https://yourapp.com/webhook"}`, nil).refused(t, "body.url", "not an allowed destination")
}
