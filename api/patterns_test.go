package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S7: a pattern that matches no known type is accepted with a warning, if the tenant has types of its own.
func TestPatternsThatMatchNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const secret = `"secret":"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"`
	create := func(events string) []map[string]any {
		t.Helper()
		w := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":`+events+`,`+secret+`}`).object(t, http.StatusCreated)
		if w["warnings"] == nil {
			return nil
		}
		return objects(t, w["warnings"])
	}
	require.Empty(t, create(`["users.*","invoice.*"]`), "there are no types of its own")
	f.do(t, http.MethodPut, "/v1/event-types/invoice.line.added", "", nil).object(t, http.StatusCreated)
	require.Empty(t, create(`["*","user.*","invoice.*","invoice.line.*","user.created"]`))
	const message = "matches no event type that is known so far"
	require.Equal(t, []map[string]any{
		{"location": "body.events[1]", "message": message + "; did you mean user.*?"},
		{"location": "body.events[3]", "message": message},
		{"location": "body.events[4]", "message": "matches no event type: operational ones, like webhook.disabled, are subscribed to by name"},
	}, create(`["user.created","users.*","user.created","subscription.*","webhook.*"]`))

	id := f.newWebhook(t, "user.created")
	w := f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"events":["invoices.*"],`+secret+`}`, nil).object(t, http.StatusOK)
	require.Equal(t, "body.events[0]", objects(t, w["warnings"])[0]["location"])
	w = f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"description":"x"}`, nil).object(t, http.StatusOK)
	require.NotContains(t, w, "warnings", "its events were not given")
	require.NotContains(t, f.get(t, "/v1/webhooks/"+id).object(t, http.StatusOK), "warnings")
	commenda := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","profile":"commenda","events":["no.*"],`+secret+`}`).object(t, http.StatusCreated)
	require.NotContains(t, commenda, "warnings", "its topics are free")
}

// S7: the catalogue decides what can be published, so a key for webhooks can't change it.
func TestPutEventTypeWantsAdmin(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, scope := range hook.Scopes() {
		a := f.as(f.newKey(t, hook.DefaultTenant(), scope)).do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"schema":false}`, nil)
		if scope == hook.ScopeAdmin {
			a.object(t, http.StatusCreated)
		} else {
			require.Contains(t, a.problem(t, http.StatusForbidden, "PERMISSION_DENIED").Detail, "scope admin")
		}
	}
}

// S10, S12: lists are filtered by patterns, too.
func TestListsByPattern(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.*", "file.uploaded")
	commenda := f.newCommendaWebhook(t, "user", "user.*")
	for _, body := range []string{`{"type":"user.created","data":1}`, `{"type":"user.deleted","data":1}`, `{"type":"file.uploaded","data":1}`} {
		f.post(t, "/v1/events", body).object(t, http.StatusAccepted)
	}
	for _, topic := range []string{"user", "user.*"} {
		f.post(t, "/events", `{"topic":"`+topic+`","data":1}`).object(t, http.StatusAccepted)
	}
	types := func(path, list, member string) (got []string) {
		t.Helper()
		for _, e := range f.get(t, path).list(t, list) {
			got = append(got, e[member].(string))
		}
		return got
	}
	for pattern, want := range map[string][]string{
		"user.*": {"user.*", "user.deleted", "user.created"}, "user": {"user"}, "user.created": {"user.created"}, "project.*": nil,
		"*": {"user.*", "user", "file.uploaded", "user.deleted", "user.created"}, "us*": nil, "%25": nil, "user_*": nil, "user_.*": nil,
	} {
		require.Equal(t, want, types("/v1/events?type="+pattern, "events", "type"), pattern)
	}
	require.Equal(t, []string{"user.*", "user.deleted", "user.created"}, types("/v1/webhooks/"+webhook+"/deliveries?event_type=user.*", "deliveries", "event_type"))
	require.Equal(t, []string{"user.*"}, types("/webhooks/"+commenda+"/deliveries?event_type=user.*", "deliveries", "event_type"))
}
