package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

const triggered = "Successfully triggered webhook."

// triggeredEvent returns the event of a triggered delivery.
func (f *fixture) triggeredEvent(t *testing.T, d map[string]any) hook.Event {
	t.Helper()
	e, err := f.store.Event(t.Context(), hook.DefaultTenant(), eventID(t, d["event_id"]))
	require.NoError(t, err)
	return e
}

// C5: a request without body and content type sends a sample once. The answer is the delivery with the receiver's
// answer.
func TestTriggerCommendaWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.sender.outcome = success()
	id := f.newCommendaWebhook(t, "A", "B")
	d := f.post(t, "/webhooks/test/trigger/"+id, "").data(t, http.StatusOK, triggered)
	require.Len(t, f.sender.sent, 1)
	require.True(t, f.sender.sent[0].Test)
	log := objects(t, d["attempt_log"])
	require.Len(t, log, 1)
	require.InDelta(t, 84.2, log[0]["duration_ms"], 0.001)
	moment(t, d["created_at"])
	moment(t, d["delivered_at"])
	require.Regexp(t, uuidPattern, d["event_id"])
	require.Equal(t, map[string]any{
		"id": f.sender.sent[0].ID.UUID(), "event_id": d["event_id"], "webhook_id": id, "event_type": "A", "test": true,
		"status": "success", "status_code": 200.0, "attempts": 1.0, "delivered_at": d["delivered_at"], "created_at": d["created_at"],
		"attempt_log": d["attempt_log"],
	}, d)
	require.Empty(t, f.dispatched.events())
	e := f.triggeredEvent(t, d)
	require.True(t, e.Test)
	require.Equal(t, string(hook.SampleData("A")), string(e.Data))
	require.Empty(t, e.OrganizationID)
	// The same delivery by its UUID and on the standard surface.
	require.Equal(t, f.sender.sent[0].ID.String(), f.get(t, "/v1/deliveries/"+d["id"].(string)).object(t, http.StatusOK)["id"])
	require.Equal(t, []string{d["id"].(string)}, ids(f.get(t, "/webhooks/"+id+"/deliveries").list(t, "deliveries")))
}

// C5: with event_data and topic, to a disabled webhook too.
func TestTriggerCommendaWebhookWithData(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A")
	f.update(t, id, `{"status":"DISABLED"}`)
	for body, want := range map[string]struct{ topic, data string }{
		`{"event_data":{"b":1.0,"0":null}}`:               {"A", `{"0":null,"b":1}`},
		`{"event_data":[1],"topic":"Another topic, é *"}`: {"Another topic, é *", `[1]`},
		`{"topic":"B"}`:       {"B", string(hook.SampleData("B"))},
		`{"event_data":null}`: {"A", string(hook.SampleData("A"))},
		`{}`:                  {"A", string(hook.SampleData("A"))},
		` `:                   {"A", string(hook.SampleData("A"))},
	} {
		d := f.post(t, "/webhooks/test/trigger/"+typeID(t, id), body).data(t, http.StatusOK, triggered)
		e := f.triggeredEvent(t, d)
		require.Equal(t, want.topic, d["event_type"], body)
		require.Equal(t, []string{want.topic, want.data}, []string{e.Type, string(e.Data)}, body)
		require.Equal(t, "success", d["status"])
		require.True(t, json.Valid(payload.CommendaBody(&e, f.sender.sent[0].WebhookID)))
	}
	// curl -d "" sends a form's content type and no body.
	a := f.do(t, http.MethodPost, "/webhooks/test/trigger/"+id, "", map[string]string{"Content-Type": "application/x-www-form-urlencoded"})
	a.data(t, http.StatusOK, triggered)
}

// C5: the answer shows what went wrong at the receiver.
func TestTriggerCommendaWebhookThatFails(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.sender.outcome = failure(500)
	id := f.newCommendaWebhook(t, "A")
	d := f.post(t, "/webhooks/test/trigger/"+id, "").data(t, http.StatusOK, triggered)
	require.Equal(t, []any{"failed", 500.0, "HTTP 500 Internal Server Error", 1.0, nil}, []any{
		d["status"], d["status_code"], d["error"], d["attempts"], d["next_attempt_at"],
	})
	f.sender.err = hook.Unavailable("Temporal", hook.ErrNotSent)
	f.post(t, "/webhooks/test/trigger/"+id, "").problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	require.Equal(t, 1, value[int](t, f, `select count(*) from deliveries`), "what was not sent left nothing")
}

func TestTriggerCommendaRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/webhooks/test/trigger/" + f.newCommendaWebhook(t, "A")
	for body, location := range map[string]string{
		`{"topic":""}`:    "body.topic",
		`{"topic":" A"}`:  "body.topic",
		`{"topic":7}`:     "body.topic",
		`{"topic":["A"]}`: "body.topic",
		`{"topic":"` + strings.Repeat("é", 129) + `"}`: "body.topic",
		`{"event_data":{"a":1,"a":1}}`:                 "body/event_data/a",
		`{"event_data":[9007199254740993]}`:            "body/event_data/0",
		`{"event_data":"\ud800"}`:                      "body/event_data",
		`[]`:                                           "body",
		`null`:                                         "body",
	} {
		f.post(t, path, body).refused(t, location, "")
	}
	f.post(t, path, `{`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.do(t, http.MethodPost, path, `{}`, map[string]string{"Content-Type": "text/plain"}).problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
	f.post(t, path, `{"event_data":"`+strings.Repeat("a", 102_400)+`"}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	limited := f.post(t, "/v1/api-keys", `{"name":"B only","scopes":["webhooks"],"topics":["B"]}`).object(t, http.StatusCreated)["key"].(string)
	f.as(limited).post(t, path, "").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Empty(t, f.sender.sent)
	require.Zero(t, value[int](t, f, `select count(*) from events`))
	f.as(limited).post(t, path, `{"topic":"B"}`).data(t, http.StatusOK, triggered)
}

// C5: Config.MaxBody bounds the body of a test.
func TestTriggerCommendaMaxBody(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.MaxBody = 400_000 })
	path := "/webhooks/test/trigger/" + f.newCommendaWebhook(t, "A")
	f.post(t, path, `{"event_data":"`+strings.Repeat("a", 390_000)+`"}`).data(t, http.StatusOK, triggered)
	f.post(t, path, `{"event_data":"`+strings.Repeat("a", 400_000)+`"}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
}
