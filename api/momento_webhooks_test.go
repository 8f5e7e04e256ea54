package api_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

const putBody = `{"destination":{"postUrl":"https://yourapp.com/webhook"},"topicName":"mo-nuts"}`

// M1: the answer is the secret; the webhook is one of the Momento profile, with
// its schedule.
func TestPutMomentoWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secret := f.put(t, "chat", "translator", "mo-nuts")
	w := f.get(t, "/v1/webhooks").list(t, "webhooks")[0]
	require.Equal(t, map[string]any{
		"id": w["id"], "url": "https://yourapp.com/mo-nuts", "events": []any{"mo-nuts"}, "active": true, "paused": false, "profile": "momento",
		"cache_name": "chat", "webhook_name": "translator", "status": "healthy", "timeout_seconds": 5.0, "max_attempts": 1.0,
		"created_at": w["created_at"], "updated_at": w["updated_at"],
	}, w)
	got := f.get(t, "/v1/webhooks/"+w["id"].(string)+"/secret").object(t, http.StatusOK)
	require.Equal(t, secret, got["secret"])
}

// M1: a second PUT changes topic and destination, and returns the same secret.
func TestPutMomentoWebhookAgain(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secret := f.put(t, "chat", "translator", "one")
	id := f.get(t, "/v1/webhooks").list(t, "webhooks")[0]["id"]
	require.Equal(t, secret, f.put(t, "chat", "translator", "two"))
	list := f.get(t, "/caches/chat/webhooks").list(t, "webhooks")
	require.Equal(t, []map[string]any{listed("chat", "translator", "two")}, list)
	require.Equal(t, id, f.get(t, "/v1/webhooks").list(t, "webhooks")[0]["id"])

	// Messages of the new topic reach it, and messages of the old topic do not.
	f.say(t, "chat", "one", "a")
	f.say(t, "chat", "two", "b")
	require.Equal(t, 1, value[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, "two", value[string](t, f, `select event_type from deliveries`))

	// The name identifies the webhook, whatever white space surrounds it.
	require.Equal(t, secret, f.put(t, " chat\t", "\u00a0translator ", " three "))
	require.Equal(t, []map[string]any{{
		"id": map[string]any{"cacheName": "chat", "webhookName": "translator"}, "topicName": "three",
		"destination": map[string]any{"postUrl": "https://yourapp.com/%20three%20"},
	}}, f.get(t, "/caches/%20chat/webhooks").list(t, "webhooks"))
}

// listed returns a webhook as M2 lists it.
func listed(cache, name, topic string) map[string]any {
	return map[string]any{
		"id":          map[string]any{"cacheName": cache, "webhookName": name},
		"destination": map[string]any{"postUrl": "https://yourapp.com/" + url.PathEscape(topic)},
		"topicName":   topic,
	}
}

// M1: PUT activates a webhook that was disabled for its failures, but not one that a client has deactivated.
func TestPutMomentoWebhookThatIsDisabled(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secret := f.put(t, "chat", "translator", "one")
	path := "/v1/webhooks/" + f.get(t, "/v1/webhooks").list(t, "webhooks")[0]["id"].(string)
	for _, reason := range []string{hook.ReasonGone, hook.ReasonFailedDays} {
		f.exec(t, `update webhooks set active = false, disabled_reason = $1, health = 'failed', failing_since = now()`, reason)
		require.Equal(t, "disabled", f.get(t, path).object(t, http.StatusOK)["status"])
		require.Equal(t, secret, f.put(t, "chat", "translator", "one"))
		w := f.get(t, path).object(t, http.StatusOK)
		require.Equal(t, []any{true, "healthy"}, []any{w["active"], w["status"]}, reason)
		require.Equal(t, 1, value[int](t, f, `select count(*) from webhooks where failing_since is null`), "the five days begin anew")
	}
	require.Equal(t, http.StatusOK, f.do(t, http.MethodPatch, path, `{"active":false}`, nil).status)
	require.Equal(t, secret, f.put(t, "chat", "translator", "two"))
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{false, hook.ReasonByClient, []any{"two"}}, []any{w["active"], w["status_reason"], w["events"]})
	require.Len(t, f.get(t, "/caches/chat/webhooks").list(t, "webhooks"), 1, "inactive ones are listed")
}

// M1: concurrent PUTs make one webhook with one secret.
func TestPutMomentoWebhookAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secrets := make([]string, 20)
	var all sync.WaitGroup
	for i := range secrets {
		put := f.prepare(t, http.MethodPut, named("chat", "translator"), putBody)
		all.Go(func() { secrets[i] = string(put().body) })
	}
	all.Wait()
	for _, s := range secrets {
		require.Contains(t, s, "secretString")
		require.Equal(t, secrets[0], s)
	}
	require.Equal(t, 1, value[int](t, f, `select count(*) from webhooks`))
	require.Equal(t, 1, value[int](t, f, `select count(*) from subscriptions`))
}

// elusive is a store in which another client creates or deletes the webhook between each look-up and write.
type elusive struct {
	api.Store
	kind hook.Kind
}

func (s elusive) WebhookNamed(context.Context, hook.TenantID, string, string) (hook.WebhookID, error) {
	if s.kind == hook.KindConflict {
		return hook.WebhookID{}, hook.NotFound("webhook")
	}
	return hook.WebhookID{1}, nil
}

func (s elusive) CreateWebhook(context.Context, hook.Webhook) (hook.Webhook, error) {
	return hook.Webhook{}, &hook.Error{Kind: s.kind, Message: marker}
}

// M1: a PUT ends although other clients create and delete the webhook all the time.
func TestPutMomentoWebhookThatOthersKeepChanging(t *testing.T) {
	t.Parallel()
	for _, kind := range []hook.Kind{hook.KindConflict, hook.KindNotFound} {
		f := setup(t, func(d *api.Deps) { d.Store = elusive{d.Store, kind} })
		a := f.do(t, http.MethodPut, named("chat", "translator"), putBody, nil)
		a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		require.Equal(t, "1", a.header.Get("Retry-After"))
		require.NotContains(t, string(a.body), "MARKER")
	}
}

// M1: errors name the field.
func TestPutMomentoWebhookRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "http://169.254.169.254/"
	body := func(url, topic string) string {
		b, err := json.Marshal(map[string]any{"destination": map[string]any{"postUrl": url}, "topicName": topic})
		require.NoError(t, err)
		return string(b)
	}
	const good, at = "https://yourapp.com/", "body.destination.postUrl"
	for name, c := range map[string]struct{ body, location, text string }{
		"url empty":                   {body("", "t"), at, "must not be empty"},
		"url relative":                {body("/webhook", "t"), at, "absolute http or https URL"},
		"url without scheme":          {body("yourapp.com/webhook", "t"), at, "absolute http or https URL"},
		"url of another scheme":       {body("ftp://yourapp.com/", "t"), at, "absolute http or https URL"},
		"url without host":            {body("https:///webhook", "t"), at, "must name a host"},
		"url with a user":             {body("https://user@yourapp.com/", "t"), at, "user name"},
		"url too long":                {body(good+strings.Repeat("a", 1025-len(good)), "t"), at, "at most 1024 characters"},
		"url not allowed":             {body("http://169.254.169.254/", "t"), at, "not an allowed destination"},
		"url missing":                 {`{"destination":{},"topicName":"t"}`, at, "must not be empty"},
		"url null":                    {`{"destination":{"postUrl":null},"topicName":"t"}`, at, "must not be empty"},
		"url of another type":         {`{"destination":{"postUrl":1},"topicName":"t"}`, at, "expected string"},
		"url in another case":         {`{"destination":{"posturl":"https://yourapp.com/"},"topicName":"t"}`, at, "must not be empty"},
		"destination missing":         {`{"topicName":"t"}`, "body.destination", "must not be empty"},
		"destination null":            {`{"destination":null,"topicName":"t"}`, "body.destination", "must not be empty"},
		"destination of another type": {`{"destination":"https://yourapp.com/","topicName":"t"}`, "body.destination", "expected object"},
		"topic missing":               {`{"destination":{"postUrl":"https://yourapp.com/"}}`, "body.topicName", "must not be empty"},
		"topic empty":                 {body(good, ""), "body.topicName", "must not be empty"},
		"topic white space":           {body(good, " \t\u00a0"), "body.topicName", "must not be empty"},
		"topic too long":              {body(good, strings.Repeat("é", 129)), "body.topicName", "at most 128 characters"},
		"topic with controls":         {body(good, "a\x00"), "body.topicName", "control characters"},
		"topic of another type":       {`{"destination":{"postUrl":"https://yourapp.com/"},"topicName":["t"]}`, "body.topicName", "expected string"},
		"a member twice":              {`{"destination":{"postUrl":"https://yourapp.com/"},"topicName":"t","topicName":"u"}`, "body/topicName", "twice"},
		"an array":                    {`[]`, "body", "JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.do(t, http.MethodPut, named("chat", "translator"), c.body, nil).refused(t, c.location, c.text)
			require.NotContains(t, f.log.String(), "level=ERROR")
		})
	}
	t.Run("all at once", func(t *testing.T) {
		t.Parallel()
		p := f.do(t, http.MethodPut, "/caches/%20/webhooks/%00", `{}`, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Len(t, p.Errors, 4, "%+v", p)
		for _, location := range []string{"path.cacheName", "path.webhookName", "body.destination", "body.topicName"} {
			require.NotEmpty(t, p.at(t, location))
		}
	})
	for name, c := range map[string]struct {
		body, contentType string
		status            int
	}{
		"no body":    {"", "application/json", 400},
		"no JSON":    {"{", "application/json", 400},
		"a form":     {putBody, "application/x-www-form-urlencoded", 415},
		"a huge one": {`{"a":"` + strings.Repeat("a", 64<<10) + `"}`, "application/json", 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.do(t, http.MethodPut, named("chat", "translator"), c.body, map[string]string{"Content-Type": c.contentType}).
				problem(t, c.status, map[bool]string{false: "INVALID_ARGUMENT", true: "PAYLOAD_TOO_LARGE"}[c.status == 413])
		})
	}
}

// M1: a URL may have 1,024 characters. Spec 6: unknown members are ignored.
func TestPutMomentoWebhookTolerates(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, body := range []string{
		`{"destination":{"postUrl":"https://yourapp.com/` + strings.Repeat("é", 1024-len("https://yourapp.com/")) + `"},"topicName":"t"}`,
		`{"id":{"cacheName":"x"},"destination":{"postUrl":"https://yourapp.com/","retries":[1,{"a":null}]},"topicName":"t","extra":1e999}`,
		`{"destination":{"postUrl":"http://yourapp.com:8080/a?b=c"},"topicName":" t ","-":1,"Topicname":2}`,
	} {
		f.do(t, http.MethodPut, named("chat", "translator"), body, nil).object(t, http.StatusOK)
	}
	w := f.get(t, "/caches/chat/webhooks").list(t, "webhooks")[0]
	require.Equal(t, "t", w["topicName"])
	require.Equal(t, map[string]any{"postUrl": "http://yourapp.com:8080/a?b=c"}, w["destination"])
	require.Equal(t, http.StatusOK, f.do(t, http.MethodPut, named("chat", "translator"), putBody, map[string]string{"Content-Type": ""}).status)
}

// M2: the list has exactly these members, of that cache only, newest first. It may be requested in parts.
func TestListMomentoWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.JSONEq(t, `{"webhooks":[]}`, string(f.get(t, "/caches/unknown/webhooks").body))
	f.put(t, "other", "one", "mo-nuts")
	f.newWebhook(t, "user.created")
	f.newCommendaWebhook(t, "mo-nuts")
	f.put(t, "chat", "one", "mo-nuts")
	f.put(t, "chat", "two", "t2")
	require.Equal(t, map[string]any{"webhooks": []any{listed("chat", "two", "t2"), listed("chat", "one", "mo-nuts")}},
		f.get(t, "/caches/chat/webhooks").object(t, http.StatusOK))

	// More than the store returns at a time.
	f.exec(t, `insert into webhooks (id, tenant_id, profile, url, events, secret, active, disabled_reason, description, timeout_ms, rate_limit,
			max_attempts, health, created_at, updated_at, cache, name)
		select gen_random_uuid(), tenant_id, profile, url, events, secret, active, disabled_reason, description, timeout_ms, rate_limit,
			max_attempts, health, created_at, updated_at, 'many', 'hook ' || n
		from webhooks, generate_series(1, 250) n where cache = 'other'`)
	seen := map[string]bool{}
	for _, w := range f.get(t, "/caches/many/webhooks").list(t, "webhooks") {
		seen[w["id"].(map[string]any)["webhookName"].(string)] = true
	}
	require.Len(t, seen, 250)
}

// M3: 204 without a body; then the secret is gone, and nothing is sent.
func TestDeleteMomentoWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secret := f.put(t, "chat", "translator", "mo-nuts")
	kept := f.put(t, "other", "translator", "mo-nuts")
	f.say(t, "chat", "mo-nuts", "pending")
	path := named("chat", "translator")
	a := f.do(t, http.MethodDelete, path, "", nil)
	require.Equal(t, http.StatusNoContent, a.status)
	require.Equal(t, 1, value[int](t, f, `select count(*) from deliveries where state = 'canceled'`))
	for method, path := range map[string]string{"DELETE": path, "GET": path + "/secret", "POST": path + "/secret/rotate"} {
		f.do(t, method, path, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	require.Empty(t, f.get(t, "/caches/chat/webhooks").list(t, "webhooks"))
	f.say(t, "chat", "mo-nuts", "to nobody")
	require.Equal(t, 1, value[int](t, f, `select count(*) from deliveries`))

	require.NotEqual(t, secret, f.put(t, "chat", "translator", "mo-nuts"))
	require.Equal(t, kept, f.put(t, "other", "translator", "mo-nuts"), "one of another cache is another")
}

// Spec 0: the same names of two tenants are two webhooks, and two topics.
func TestMomentoTenantsAreApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	_, key := f.newTenant(t)
	other := f.as(key)
	secret := f.put(t, "chat", "translator", "mo-nuts")
	path := named("chat", "translator")
	for method, path := range map[string]string{"DELETE": path, "GET": path + "/secret", "POST": path + "/secret/rotate"} {
		other.do(t, method, path, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	other.get(t, path+"/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")
	require.Empty(t, other.get(t, "/caches/chat/webhooks").list(t, "webhooks"))
	other.say(t, "chat", "mo-nuts", "theirs")
	require.Zero(t, value[int](t, f, `select count(*) from deliveries`))

	require.NotEqual(t, secret, other.put(t, "chat", "translator", "theirs"))
	require.Equal(t, secret, f.put(t, "chat", "translator", "mo-nuts"))
	f.say(t, "chat", "mo-nuts", "ours")
	for c, text := range map[*client]string{f.client: "ours", other: "theirs"} {
		require.Equal(t, []string{text}, texts(t, c.get(t, topicPath("chat", "mo-nuts")+"?sequence_number=1")))
	}
	require.Equal(t, http.StatusNoContent, other.do(t, http.MethodDelete, path, "", nil).status)
	require.Equal(t, []map[string]any{listed("chat", "translator", "mo-nuts")}, f.get(t, "/caches/chat/webhooks").list(t, "webhooks"))
}

// Changes on /v1 are visible here, and changes here are visible there.
func TestMomentoWebhooksOnTheStandardSurface(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, "chat", "translator", "mo-nuts")
	path := "/v1/webhooks/" + f.get(t, "/v1/webhooks?profile=momento").list(t, "webhooks")[0]["id"].(string)
	changed := f.do(t, http.MethodPatch, path, `{"url":"https://yourapp.com/t2","events":["t2"]}`, nil).object(t, http.StatusOK)
	require.Equal(t, "t2", changed["events"].([]any)[0])
	require.Equal(t, []map[string]any{listed("chat", "translator", "t2")}, f.get(t, "/caches/chat/webhooks").list(t, "webhooks"))
	f.put(t, "chat", "translator", "t3")
	require.Equal(t, []any{"t3"}, f.get(t, path).object(t, http.StatusOK)["events"])
	// A PUT keeps the values that only /v1 can set.
	require.Equal(t, http.StatusOK, f.do(t, http.MethodPatch, path, `{"timeout_seconds":3,"description":"mine"}`, nil).status)
	f.put(t, "chat", "translator", "t4")
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{3.0, "mine", []any{"t4"}}, []any{w["timeout_seconds"], w["description"], w["events"]})
	require.Equal(t, http.StatusNoContent, f.do(t, http.MethodDelete, path, "", nil).status)
	require.Empty(t, f.get(t, "/caches/chat/webhooks").list(t, "webhooks"))
	f.get(t, named("chat", "translator")+"/secret").problem(t, http.StatusNotFound, "NOT_FOUND")
}

// S11, spec 7: a test of a Momento webhook has the same bounds as a message.
func TestMomentoTestIsAMessage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.sender.outcome = hook.Attempt{StatusCode: 200}
	f.newMomentoWebhook(t)
	id := f.get(t, "/v1/webhooks").list(t, "webhooks")[0]["id"].(string)
	path := "/v1/webhooks/" + id + "/test"
	fits := strings.Repeat("é", hook.MaxMessage/2)
	f.post(t, path, `{"data":"`+fits+`"}`).object(t, http.StatusOK)
	f.post(t, path, `{"data":"`+fits+`!"}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	f.post(t, path, `{"data":{"a":1}}`).refused(t, "body.data", "must be a string")
	f.post(t, path, `{"type":"elsewhere"}`).refused(t, "body.type", "must be the webhook's topic")

	text := secrets.NewAPIKey()
	_, err := f.store.CreateKey(t.Context(), hook.APIKey{
		TenantID: hook.DefaultTenant(), Name: "x", Scopes: []hook.Scope{hook.ScopeWebhooks}, Topics: []string{"elsewhere"},
	}, text)
	require.NoError(t, err)
	f.as(text.Reveal()).post(t, path, "").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}
