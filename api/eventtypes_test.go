package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// S7: the nine built-in types, with their descriptions, in their order.
func TestBuiltInEventTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	want := [][2]string{
		{"user.created", "New user registered"},
		{"user.updated", "User profile updated"},
		{"user.deleted", "User account deleted"},
		{"project.created", "New project created"},
		{"project.updated", "Project modified"},
		{"project.deleted", "Project deleted"},
		{"file.uploaded", "File uploaded"},
		{"payment.succeeded", "Payment processed successfully"},
		{"payment.failed", "Payment failed"},
	}
	types := f.get(t, "/v1/event-types").list(t, "event_types")
	require.Len(t, types, len(want)+3, "and those of operational events")
	for i, w := range want {
		require.Equal(t, map[string]any{"name": w[0], "description": w[1], "built_in": true, "shared": true, "deprecated": false}, types[i])
		// Each can be subscribed to and published.
		f.newWebhook(t, w[0])
		require.Equal(t, http.StatusAccepted, f.post(t, "/v1/events", `{"type":"`+w[0]+`","data":{}}`).status)
	}
}

// S7: PUT adds one, 201 and then 200.
func TestPutEventType(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const path = "/v1/event-types/invoice.paid"
	f.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).refused(t, "body.type", "not a known event type")
	added := f.do(t, http.MethodPut, path, `{"description":"An invoice was paid"}`, nil).object(t, http.StatusCreated)
	moment(t, added["created_at"])
	require.Equal(t, map[string]any{
		"name": "invoice.paid", "description": "An invoice was paid", "built_in": false, "shared": true, "deprecated": false,
		"created_at": added["created_at"],
	}, added)
	again := f.do(t, http.MethodPut, path, `{"description":"Paid"}`, nil).object(t, http.StatusOK)
	require.Equal(t, "Paid", again["description"])
	require.Equal(t, added["created_at"], again["created_at"])
	f.do(t, http.MethodPut, "/v1/event-types/a-b_C.9", "", nil).object(t, http.StatusCreated)

	types := f.get(t, "/v1/event-types").list(t, "event_types")
	require.Len(t, types, 14)
	require.Equal(t, "a-b_C.9", types[12]["name"], "one's own by name, after the built-in")
	require.Equal(t, again, types[13])
	f.newWebhook(t, "invoice.paid")
	require.EqualValues(t, 1, f.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).object(t, 202)["deliveries"])
}

func TestPutEventTypeRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, name := range []string{"a..b", ".a", "a.", "a*", "user.*", "*", "a%20b", "%C3%A9", "a%2Fb", strings.Repeat("a", 129)} {
		f.do(t, http.MethodPut, "/v1/event-types/"+name, "", nil).refused(t, "path.name", "")
	}
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"description":"`+strings.Repeat("a", 1001)+`"}`, nil).refused(t, "body.description", "1000")
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"text":"a"}`, nil).refused(t, "body.text", "unexpected property")
	f.do(t, http.MethodPut, "/v1/event-types/user.created", `{"description":"mine"}`, nil).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	require.Len(t, f.get(t, "/v1/event-types").list(t, "event_types"), 12)
	require.Equal(t, http.StatusCreated, f.do(t, http.MethodPut, "/v1/event-types/"+strings.Repeat("a", 128), "", nil).status)
}

// S7: an unknown type is 422 and names the most similar known one, also of the tenant's own.
func TestClosestEventType(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil)
	for given, closest := range map[string]string{
		"user.create": "user.created", "User.Updated": "user.updated", "payment.succeded": "payment.succeeded", "invoice.payed": "invoice.paid",
	} {
		f.post(t, "/v1/events", `{"type":"`+given+`","data":1}`).refused(t, "body.type", "did you mean "+closest+"?")
		f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["`+given+`"]}`).refused(t, "body.events[0]", "did you mean "+closest+"?")
	}
}
