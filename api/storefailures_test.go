package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

const marker = "MARKER relation secret_table does not exist"

// Spec 6: a 5xx body never carries a cause, whichever call of the store fails. Every method of the store fails once.
func TestNoCauseReachesTheCaller(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	store := &faulty{}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store, d.Topics, d.Changes = store, faultyTopics{d.Topics, store}, faultyChanges{d.Changes, store}
	})
	f.do(t, "PUT", "/v1/event-types/invoice.paid", "", nil)
	for _, c := range calls() {
		failures, ids := 0, f.resources(t)
		for n := 1; ; n++ {
			made := f.unchanged(t, c, ids)
			store.arm(n, errors.New(marker))
			a := f.do(t, c.method, c.with(made), c.filled(made), nil)
			if !store.failed() {
				store.arm(0, nil)
				require.Equal(t, c.status, a.status, c.id)
				break
			}
			store.arm(0, nil)
			p := a.problem(t, http.StatusInternalServerError, "INTERNAL")
			require.Equal(t, "something went wrong on our side", p.Detail)
			require.Empty(t, p.Errors)
			require.NotContains(t, string(a.body), "MARKER")

			made = f.unchanged(t, c, ids)
			store.arm(n, hook.Unavailable("the store", errors.New(marker)))
			a = f.do(t, c.method, c.with(made), c.filled(made), nil)
			store.arm(0, nil)
			a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
			require.Equal(t, "2", a.header.Get("Retry-After"))
			require.NotContains(t, string(a.body), "MARKER")
			failures++
		}
		// Of a platform key that names no tenant, authentication knows it all.
		require.Equal(t, c.id != "get-session", failures > 0, "%s never calls the store", c.id)
	}
	f.requireNoCauseOfRareCalls(t, store)

	cannotFail := []string{"CachedEventType", "CachedKey", "CachedPublishRate", "CachedTenant"}
	for i := range reflect.TypeFor[api.Store]().NumMethod() {
		if name := reflect.TypeFor[api.Store]().Method(i).Name; !slices.Contains(cannotFail, name) {
			require.Contains(t, store.failedMethods(), name)
		}
	}
	require.Contains(t, f.log.String(), "MARKER", "the log has the cause")
}

// unchanged returns resources that the call has not changed: ids if it only reads, and else new ones.
func (f *fixture) unchanged(t *testing.T, c call, ids map[string]string) map[string]string {
	t.Helper()
	if c.method == http.MethodGet {
		return ids
	}
	return f.resources(t)
}

// requireNoCauseOfRareCalls makes those methods fail that the table of calls does not reach.
func (f *fixture) requireNoCauseOfRareCalls(t *testing.T, store *faulty) {
	t.Helper()
	ids := f.resources(t)
	const webhook = `{"url":"https://yourapp.com/webhook","events":["user.created"]}`
	keyed := map[string]string{"Idempotency-Key": "one"}
	token := f.post(t, "/v1/topic-tokens", `{"cache_name":"own","topics":["own"]}`).object(t, http.StatusCreated)["token"].(string)
	many := f.post(t, "/v1/replays", `{"delivery_ids":["`+ids["delivery"]+`"]}`).object(t, http.StatusAccepted)["id"].(string)
	for method, c := range map[string]struct {
		path, body string // without a body it is a GET
		header     map[string]string
	}{
		"Authenticate":        {"/v1/webhooks", "", nil},
		"AuthenticateSession": {"/v1/webhooks", "", map[string]string{"Authorization": "Bearer " + f.newSession(t, hook.DefaultTenant(), hook.CapabilityView)}},
		"AllWebhooks":         {"/v1/webhooks", "", map[string]string{"Grapnel-Tenant": "*"}},
		"FindTenant":          {"/topics/own/own", "", map[string]string{"Authorization": "Bearer " + token, "Grapnel-Tenant": "default"}},
		"FindTenants":         {"/v1/events/batch", `{"events":[{"type":"user.created","data":1,"tenant":"own"}]}`, nil},
		"UsageByTenant":       {"/v1/tenants/*/usage", "", nil},
		"TopicToken":          {"/topics/own/own", "", map[string]string{"Authorization": "Bearer " + token}},
		"EventTypeNames":      {"/v1/events", `{"type":"no.such","data":1}`, nil},
		"KeptAnswer":          {"/v1/webhooks", webhook, keyed},
		"CreateWebhookOnce":   {"/v1/webhooks", webhook, keyed},
		"Repeated":            {"/v1/events", `{"type":"no.such","data":1,"id":"one"}`, nil},
		"ReplayWebhooks":      {"/v1/replays/" + many, "", nil},
		"CountReplay":         {"/v1/webhooks/" + ids["webhook"] + "/replay", `{"since":"2026-01-01T00:00:00Z","status":"all","dry_run":true}`, nil},
		"Messages":            {"/topics/own/own", "", map[string]string{"Accept": "text/event-stream"}},
	} {
		verb := http.MethodPost
		if c.body == "" {
			verb = http.MethodGet
		}
		for err, status := range map[error]int{
			errors.New(marker): http.StatusInternalServerError, hook.Unavailable("the store", errors.New(marker)): http.StatusServiceUnavailable,
		} {
			store.failMethod(method, err)
			a := f.do(t, verb, c.path, c.body, c.header)
			store.arm(0, nil)
			require.Equal(t, status, a.status, "%s: %s", method, a.body)
			require.NotContains(t, string(a.body), "MARKER")
		}
	}
	f.requireNoCauseOfDrops(t, store, ids)
}

// requireNoCauseOfDrops makes those methods fail that take back what was not sent.
func (f *fixture) requireNoCauseOfDrops(t *testing.T, store *faulty, ids map[string]string) {
	t.Helper()
	// A test that was not sent is removed. The client does not see a failure to remove it.
	f.sender.err = fmt.Errorf("%w: %w", hook.ErrNotSent, hook.Unavailable("Temporal", nil))
	for method, path := range map[string]string{
		"DropTest": "/v1/webhooks/" + ids["webhook"] + "/test", "DropRetry": "/v1/deliveries/" + ids["delivery"] + "/retry",
	} {
		store.failMethod(method, errors.New(marker))
		a := f.post(t, path, "")
		store.arm(0, nil)
		a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		require.NotContains(t, string(a.body), "MARKER")
	}
}

// unauthenticated is a store that can't look up keys.
type unauthenticated struct {
	api.Store
	err error
}

func (s unauthenticated) Authenticate(context.Context, hook.KeyHash, string) (hook.Authentication, error) {
	return hook.Authentication{}, s.err
}

func TestKeysCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err    error
		status int
		code   string
	}{
		{errors.New(marker), http.StatusInternalServerError, "INTERNAL"},
		{hook.Unavailable("the store", errors.New(marker)), http.StatusServiceUnavailable, "UNAVAILABLE"},
	} {
		f := setup(t, func(d *api.Deps) { d.Store = unauthenticated{d.Store, c.err} })
		a := f.get(t, "/v1/webhooks")
		a.problem(t, c.status, c.code)
		require.NotContains(t, string(a.body), "MARKER")
	}
}

// panicking is a store with a bug.
type panicking struct{ api.Store }

func (panicking) Webhooks(context.Context, hook.TenantID, hook.WebhookFilter, hook.Page) ([]hook.Webhook, bool, error) {
	panic(marker)
}

func TestPanic(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Store = panicking{d.Store} })
	a := f.get(t, "/v1/webhooks")
	a.problem(t, http.StatusInternalServerError, "INTERNAL")
	require.NotContains(t, string(a.body), "MARKER")
	require.Contains(t, f.log.String(), "MARKER")
	require.Contains(t, f.log.String(), "storefailures_test.go", "the stack says where")
}

// Spec 6: the store is unavailable.
func TestStoreIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.store.Close()
	a := f.get(t, "/v1/webhooks")
	a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	seconds, err := time.ParseDuration(a.header.Get("Retry-After") + "s")
	require.NoError(t, err)
	require.Positive(t, seconds)
}

// broken is a store whose answer can't be written.
type broken struct{ api.Store }

func (broken) Webhooks(context.Context, hook.TenantID, hook.WebhookFilter, hook.Page) ([]hook.Webhook, bool, error) {
	return []hook.Webhook{{CreatedAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}}, false, nil
}

// A client can't take an answer that broke off for a complete one.
func TestPanicWithinAnAnswer(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Store = broken{d.Store} })
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.server.URL+"/v1/webhooks", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+f.key)
	response, err := f.server.Client().Do(r)
	if err == nil {
		response.Body.Close()
	}
	require.Error(t, err)
	require.Contains(t, f.log.String(), "panic")
}

// A store that hangs does not block requests: they end with 503 in time.
func TestOperationsAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.Timeout = 300 * time.Millisecond })
	f.server.Client().Timeout = 10 * time.Second
	f.exec(t, `begin`)
	f.exec(t, `lock table webhooks`)
	f.get(t, "/v1/webhooks").problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	f.exec(t, `lock table api_keys`)
	f.get(t, "/v1/webhooks").problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	f.exec(t, `rollback`)
	f.get(t, "/v1/webhooks").object(t, http.StatusOK)
}
