package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/storage"
)

// limit sets a tenant's limits.
func (f *fixture) limit(t *testing.T, tenant, limits string) answer {
	t.Helper()
	return f.do(t, "PATCH", "/v1/tenants/"+tenant, `{"limits":`+limits+`}`, nil)
}

// K7: a tenant has at most max_webhooks webhooks, of all surfaces together.
func TestMaxWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.as(f.newKey(t, f.customer(t, "acme"), hook.ScopeAdmin))
	f.limit(t, "acme", `{"max_webhooks":3}`).object(t, http.StatusOK)
	const standard, commenda, momento = `{"url":"https://yourapp.com/","events":["user.created"]}`, `{"url":"https://yourapp.com/","topics":["A"]}`,
		`{"destination":{"postUrl":"https://yourapp.com/"},"topicName":"own"}`
	first := acme.post(t, "/v1/webhooks", standard).object(t, http.StatusCreated)["id"].(string)
	acme.post(t, "/webhooks", commenda).object(t, http.StatusOK)
	acme.do(t, "PUT", "/caches/own/webhooks/one", momento, nil).object(t, http.StatusOK)
	for name, a := range map[string]answer{
		"standard": acme.post(t, "/v1/webhooks", standard), "commenda": acme.post(t, "/webhooks", commenda),
		"momento": acme.do(t, "PUT", "/caches/own/webhooks/two", momento, nil),
		"keyed":   acme.do(t, "POST", "/v1/webhooks", standard, map[string]string{"Idempotency-Key": "one"}),
		"named":   f.client.naming("acme").post(t, "/v1/webhooks", standard),
	} {
		p := a.problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
		require.Contains(t, p.Detail, "has 3 of at most 3 webhooks", name)
	}
	acme.do(t, "PUT", "/caches/own/webhooks/one", momento, nil).object(t, http.StatusOK) // it is there
	acme.do(t, "PATCH", "/v1/webhooks/"+first, `{"active":false}`, nil).object(t, http.StatusOK)
	require.Equal(t, http.StatusUnprocessableEntity, acme.post(t, "/v1/webhooks", standard).status, "an inactive one counts")
	f.newWebhook(t, "user.created") // another tenant's
	require.Equal(t, http.StatusNoContent, acme.do(t, "DELETE", "/v1/webhooks/"+first, "", nil).status)
	acme.do(t, "POST", "/v1/webhooks", standard, map[string]string{"Idempotency-Key": "one"}).object(t, http.StatusCreated)

	// A limit below what there is names it. One that is not changed, or none, is no matter.
	for _, a := range []answer{f.limit(t, "acme", `{"max_webhooks":2}`), f.do(t, "PUT", "/v1/tenants/acme", `{"limits":{"max_webhooks":1}}`, nil)} {
		p := a.problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
		require.Contains(t, p.at(t, "body.limits.max_webhooks"), "less than the 3 webhooks")
	}
	f.exec(t, `update tenants set max_webhooks = 2 where external_id = 'acme'`) // as if it had been set before
	f.do(t, "PATCH", "/v1/tenants/acme", `{"name":"Acme"}`, nil).object(t, http.StatusOK)
	f.limit(t, "acme", `{"max_webhooks":2,"publish_rate":7}`).object(t, http.StatusOK)
	require.Equal(t, http.StatusUnprocessableEntity, acme.post(t, "/v1/webhooks", standard).status)
	f.limit(t, "acme", `{"max_webhooks":null}`).object(t, http.StatusOK)
	acme.post(t, "/v1/webhooks", standard).object(t, http.StatusCreated)
}

// K7: the default holds for tenants without a limit of their own, and 0 is no limit.
func TestDefaultMaxWebhooks(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, storage.Limits{Webhooks: 1})
	for _, tenant := range []string{"a", "b", "c"} {
		f.customer(t, tenant)
	}
	f.limit(t, "b", `{"max_webhooks":2}`).object(t, http.StatusOK)
	f.limit(t, "c", `{"max_webhooks":0}`).object(t, http.StatusOK)
	for tenant, most := range map[string]int{"default": 1, "a": 1, "b": 2, "c": 4} {
		made := 0
		for range 4 {
			if f.client.naming(tenant).post(t, "/v1/webhooks", `{"url":"https://yourapp.com/","events":["user.created"]}`).status == http.StatusCreated {
				made++
			}
		}
		require.Equal(t, most, made, tenant)
	}
}

// rateLimited publishes until an event is refused for the rate, and returns the answer.
func rateLimited(t *testing.T, publish func() answer) answer {
	t.Helper()
	for range 100 {
		if a := publish(); a.status == http.StatusTooManyRequests {
			return a
		}
	}
	require.Fail(t, "100 events in a row are more than 2 per second")
	return answer{}
}

// K7: a tenant publishes at most publish_rate events per second, on each surface, whichever key it uses. Others are not
// affected.
func TestPublishRate(t *testing.T) {
	t.Parallel()
	seen := &metrics{}
	f := setup(t, func(d *api.Deps) { d.Metrics = seen })
	acme := f.as(f.newKey(t, f.customer(t, "acme"), hook.ScopeAdmin))
	f.limit(t, "acme", `{"publish_rate":2}`).object(t, http.StatusOK)
	text := map[string]string{"Content-Type": "text/plain"}
	const event = `{"type":"user.created","data":1}`
	for name, publish := range map[string]func() answer{
		"standard": func() answer { return acme.post(t, "/v1/events", event) },
		"commenda": func() answer { return acme.post(t, "/events", `{"topic":"A","data":1}`) },
		"momento":  func() answer { return acme.do(t, "POST", "/topics/own/own", "x", text) },
		"platform": func() answer { return f.client.naming("acme").post(t, "/v1/events", event) },
	} {
		a := rateLimited(t, publish)
		require.Contains(t, a.problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED").Detail, "more than 2 events per second", name)
		require.Equal(t, "1", a.header.Get("Retry-After"), name)
	}
	for range 20 {
		f.post(t, "/v1/events", event).object(t, http.StatusAccepted)
	}
	seen.mu.Lock()
	require.Equal(t, map[hook.Kind]int{hook.KindRateLimited: 4}, seen.refused)
	seen.mu.Unlock()

	// What is refused for another reason is not counted. The change of a limit holds at once in the process that made it.
	f.limit(t, "acme", `{"publish_rate":1}`).object(t, http.StatusOK)
	require.Eventually(t, func() bool {
		for range 20 {
			acme.post(t, "/v1/events", `{"type":"no.such","data":1}`).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		}
		return acme.post(t, "/v1/events", event).status == http.StatusAccepted
	}, 20*time.Second, 50*time.Millisecond)
	f.limit(t, "acme", `{"publish_rate":0}`).object(t, http.StatusOK)
	for range 20 {
		acme.post(t, "/v1/events", event).object(t, http.StatusAccepted)
	}
}

// K7: a batch is admitted item by item: as many as the rate allows are stored, and the others are 429 in their places.
// A batch that is sent again gets further each time, because what is stored is not counted.
func TestPublishRateOfBatches(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.PublishRate = 3 })
	items := make([]string, 8)
	for i := range items {
		items[i] = fmt.Sprintf(`{"type":"user.created","data":%d,"id":"e%d"}`, i, i)
	}
	items[1] = `{"type":"no.such","data":1}`
	body := `{"events":[` + strings.Join(items, ",") + `]}`
	statuses := func(body string) (list []int) {
		t.Helper()
		for i, r := range objects(t, f.post(t, "/v1/events/batch", body).object(t, http.StatusAccepted)["results"]) {
			list = append(list, int(r["status"].(float64)))
			if list[i] == http.StatusTooManyRequests {
				require.Equal(t, "LIMIT_EXCEEDED", r["error"].(map[string]any)["code"])
				require.Contains(t, r["error"].(map[string]any)["detail"], "more than 3 events per second")
			}
		}
		return list
	}
	require.Equal(t, []int{202, 422, 202, 202, 429, 429, 429, 429}, statuses(body))
	require.Equal(t, 3, value[int](t, f, `select count(*) from events`))
	require.Eventually(t, func() bool { return !slices.Contains(statuses(body), http.StatusTooManyRequests) }, 20*time.Second, 50*time.Millisecond)
	require.Equal(t, 7, value[int](t, f, `select count(*) from events`))

	// A repeat is never refused for the rate, alone or in a batch.
	rateLimited(t, func() answer { return f.post(t, "/v1/events", `{"type":"user.created","data":1}`) })
	for i := range 4 {
		again := f.post(t, "/v1/events", items[2+i]).object(t, http.StatusAccepted)
		require.Equal(t, true, again["duplicate"])
	}
	require.Equal(t, []int{202, 422, 202, 202, 202, 202, 202, 202}, statuses(body))
	f.post(t, "/v1/events", `{"type":"user.created","data":"other","id":"e2"}`).problem(t, http.StatusConflict, "ALREADY_EXISTS")
}

// K7: with --auth=none the limits of the tenant default hold as well.
func TestPublishRateWithoutKeys(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.NoAuth = true })
	f.limit(t, "default", `{"publish_rate":2}`).object(t, http.StatusOK)
	rateLimited(t, func() answer { return f.as("").post(t, "/v1/events", `{"type":"user.created","data":1}`) })
	f.customer(t, "acme")
	for range 20 {
		f.as("").naming("acme").post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	}
}
