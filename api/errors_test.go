package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Spec 6: errors have one format everywhere, also where there is no operation.
func TestNoSuchRoute(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{"/v1", "/v1/", "/v1/webhook", "/v1/webhooks/", "/v1/webhooks/a/b/c", "/v2/webhooks", "/schemas/Webhook.json", "/x%00"} {
		f.get(t, path).problem(t, http.StatusNotFound, "NOT_FOUND")
		f.as("").get(t, path).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	f.do(t, "DELETE", "/nothing", "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
}

func TestNoSuchMethod(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for path, allow := range map[string]string{
		"/v1/webhooks": "GET, HEAD, POST", "/v1/webhooks/x": "DELETE, GET, HEAD, PATCH", "/v1/webhooks/x/test": "POST", "/healthz": "GET, HEAD",
	} {
		a := f.do(t, http.MethodPut, path, "{}", nil)
		a.problem(t, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
		require.Equal(t, allow, a.header.Get("Allow"))
	}
}

// Spec 7: the server limits headers; long values that pass are not repeated at length.
func TestLongValuesAreNotEchoed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	long := strings.Repeat("x", 3000)
	a := f.get(t, "/v1/webhooks?event="+long)
	a.refused(t, "query.event", "128")
	require.Less(t, len(a.body), 1000)
	a = f.post(t, "/v1/webhooks", `{"url":"`+long+`","events":["`+long+`"]}`)
	a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	require.Less(t, len(a.body), 1000)
}

// Text that PostgreSQL can't store, or that may not be in a header, is the client's mistake.
func TestControlCharactersAreTheCallersMistake(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	for _, bad := range []string{"%00", "a%00b", "%ff", "a%0Ab"} {
		f.get(t, "/v1/webhooks?event="+bad).refused(t, "query.event", "")
		f.get(t, "/v1/events?type="+bad).refused(t, "query.type", "")
		f.get(t, "/v1/webhooks/"+webhook+"/deliveries?event_type="+bad).refused(t, "query.event_type", "")
		f.get(t, "/v1/webhooks?cursor="+bad).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	}
	for _, bad := range []string{`\u0000`, `a\u0007b`, `\n`} {
		f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"description":"`+bad+`"}`, nil).refused(t, "body.description", "control characters")
		f.post(t, "/v1/events", `{"type":"user.created`+bad+`","data":1}`).refused(t, "body.type", "")
		f.post(t, "/v1/events", `{"type":"user.created","data":1,"id":"`+bad+`"}`).refused(t, "body.id", "control characters")
	}
	require.Len(t, f.get(t, "/v1/event-types").list(t, "event_types"), 12)
	// In published data control characters are allowed.
	f.publish(t, `"\u0000"`)
}

// Answers are JSON whatever the client accepts.
func TestAcceptHeader(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, accept := range []string{"", "*/*", "text/html", "application/xml", "application/cbor", "json", "application/json;q=0.1, text/html", "nonsense/"} {
		f.do(t, http.MethodGet, "/v1/webhooks", "", map[string]string{"Accept": accept}).object(t, http.StatusOK)
		f.do(t, http.MethodGet, "/v1/webhooks/x", "", map[string]string{"Accept": accept}).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
}
