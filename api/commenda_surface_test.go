package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 1: all surfaces share one store. A webhook that is registered here is visible on /v1, and changes there are
// visible here. Neither shows its key.
func TestCommendaWebhooksOnTheStandardSurface(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.register(t, `{"url":"https://yourapp.com/webhook","topics":["A"],"key":"hush hush","name":"one"}`)["id"].(string)
	path := "/v1/webhooks/" + typeID(t, id)
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{typeID(t, id), "commenda", "one", []any{"A"}, true, "healthy", 10.0}, []any{
		w["id"], w["profile"], w["description"], w["events"], w["active"], w["status"], w["timeout_seconds"],
	})
	require.Equal(t, w, f.get(t, "/v1/webhooks/"+id).object(t, http.StatusOK), "by its UUID, too")
	require.Equal(t, []string{typeID(t, id)}, ids(f.get(t, "/v1/webhooks?profile=commenda").list(t, "webhooks")))
	a := f.get(t, path+"/secret")
	a.problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.NotContains(t, string(a.body), "hush")

	f.do(t, http.MethodPatch, path, `{"description":"two","events":["B","*"],"url":"https://other.example/","active":false}`, nil).object(t, http.StatusOK)
	seen := f.webhookOf(t, id)
	require.Equal(t, []any{"two", []any{"B", "*"}, "https://other.example/", "DISABLED"}, []any{seen["name"], seen["topics"], seen["url"], seen["status"]})
	f.update(t, id, `{"status":"ENABLED"}`)
	w = f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{true, "healthy", nil}, []any{w["active"], w["status"], w["status_reason"]})
	f.update(t, id, `{"status":"DISABLED"}`)
	w = f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, []any{false, "disabled", hook.ReasonByClient}, []any{w["active"], w["status"], w["status_reason"]})

	require.Equal(t, http.StatusNoContent, f.do(t, http.MethodDelete, path, "", nil).status)
	f.get(t, "/webhooks/"+id).problem(t, http.StatusNotFound, "NOT_FOUND")
	// A webhook that was created on /v1 is visible here.
	made := f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/","events":["A"],"profile":"commenda"}`).object(t, http.StatusCreated)
	require.Equal(t, []any{"A"}, f.webhookOf(t, made["id"].(string))["topics"])
}

// Webhooks of another profile are not found, and are left as they are.
func TestCommendaSurfaceHasNoOtherProfiles(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	before := f.get(t, "/v1/webhooks/"+id).object(t, http.StatusOK)
	for _, text := range []string{id, uuid(t, id)} {
		for _, c := range calls() {
			if !strings.Contains(c.path, "{commenda}") {
				continue
			}
			p := f.do(t, c.method, c.with(map[string]string{"commenda": text}), c.body, nil).problem(t, http.StatusNotFound, "NOT_FOUND")
			require.Equal(t, "webhook not found", p.Detail)
		}
	}
	require.Equal(t, before, f.get(t, "/v1/webhooks/"+id).object(t, http.StatusOK))
	require.Empty(t, f.sender.sent)
}

// Spec 0: another tenant's webhooks are not found, listed, updated or delivered to.
func TestCommendaTenantsAreApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A")
	_, key := f.newTenant(t)
	other := f.as(key)
	for _, c := range calls() {
		if strings.Contains(c.path, "{commenda}") {
			other.do(t, c.method, c.with(map[string]string{"commenda": id}), c.body, nil).problem(t, http.StatusNotFound, "NOT_FOUND")
		}
	}
	require.Empty(t, other.get(t, "/webhooks").data(t, http.StatusOK, "Successfully fetched webhooks.")["webhooks"])
	require.EqualValues(t, 0, other.publishTo(t, "A")["deliveries"])
	mine := other.newCommendaWebhook(t, "A")
	require.Equal(t, []string{mine}, f.receivers(t, other.publishTo(t, "A")["id"]))
	require.Equal(t, []string{id}, f.receivers(t, f.publishTo(t, "A")["id"]))
	require.Empty(t, f.webhookOf(t, id)["name"], "not updated")
	require.Empty(t, f.sender.sent)
}

// Spec 6: while the store is unavailable, no half of a webhook is stored, and no answer has the cause.
func TestCommendaStoreIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A")
	f.store.Close()
	for _, c := range calls() {
		if c.path != "/webhooks" && c.path != "/events" && !strings.Contains(c.path, "{commenda}") {
			continue
		}
		a := f.do(t, c.method, c.with(map[string]string{"commenda": id}), c.body, nil)
		p := a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		require.Empty(t, p.Errors)
		require.NotEmpty(t, a.header.Get("Retry-After"))
	}
}
