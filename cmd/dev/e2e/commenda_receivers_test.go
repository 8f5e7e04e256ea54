package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// commendaTopic returns a topic for this test alone: a free-form string.
func (c *apiClient) commendaTopic() string {
	return fmt.Sprintf("%s: Ümlaut & <more>/%d", c.t.Name(), time.Now().UnixNano())
}

// commendaHook registers a webhook (C1) and returns its id, a UUID, and its key.
func (c *apiClient) commendaHook(url string, more object) (id, key string) {
	c.t.Helper()
	body := object{"url": url}
	for name, value := range more {
		body[name] = value
	}
	out := c.do(http.MethodPost, "/webhooks", body, http.StatusOK)
	require.Equal(c.t, "Successfully registered webhook.", out["message"])
	data := out["data"].(object)
	require.Regexp(c.t, uuid, data["id"])
	return data["id"].(string), data["key"].(string)
}

const uuid = `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$`

// commendaPublish publishes an event (C6) and returns it.
func (c *apiClient) commendaPublish(topic string, data any) object {
	c.t.Helper()
	return c.do(http.MethodPost, "/events", object{"topic": topic, "data": data}, http.StatusAccepted)["data"].(object)
}

// eventObject is the body that Commenda sends.
type eventObject struct {
	ID             string          `json:"id"`
	Topic          string          `json:"topic"`
	TriggeredAt    int64           `json:"triggered_at"`
	WebhookID      string          `json:"webhook_id"`
	OrganizationID *string         `json:"organization_id"`
	Data           json.RawMessage `json:"data"`
	APIVersion     string          `json:"api_version"`
}

// again serialises the event object, with its keys in the specification's order.
func (e *eventObject) again() string {
	return fmt.Sprintf(`{"id":"%s","topic":%s,"triggered_at":%d,"webhook_id":"%s","organization_id":%s,"data":%s,"api_version":"v1.0"}`,
		e.ID, serde(e.Topic), e.TriggeredAt, e.WebhookID, serde(*e.OrganizationID), e.Data)
}

// requireEvent checks the properties common to all requests to a Commenda webhook and returns the event object.
func requireEvent(t *testing.T, request recorded, id, key string) eventObject {
	t.Helper()
	require.Equal(t, hmacHex(key, request.Body), request.Header.Get("Commenda-X-Secret"))
	require.Equal(t, "application/json", request.Header.Get("Content-Type"))
	var e eventObject
	require.NoError(t, json.Unmarshal(request.Body, &e))
	require.NotNil(t, e.OrganizationID)
	require.Equal(t, id, e.WebhookID)
	require.Regexp(t, uuid, e.ID)
	require.Equal(t, "v1.0", e.APIVersion)
	require.InDelta(t, request.At.Unix(), e.TriggeredAt, 60)
	require.Equal(t, e.again(), string(request.Body), "these keys in this order")
	return e
}

// hookID returns the id of a Commenda webhook on the standard surface.
func hookID(t *testing.T, uuid string) string {
	t.Helper()
	id, err := hook.ParseWebhookID(uuid)
	require.NoError(t, err)
	return id.String()
}

// Spec 2: Commenda's customers can verify a request by signing either the raw body or the body parsed and
// serialised again.
func TestCommendaReceiversVerify(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	const events = 100
	topic := c.commendaTopic()
	r := newRecorder(t)
	id, key := c.commendaHook(r.URL, object{"topic": topic})
	node := startScript(t, []string{"testdata/commenda_receiver.js"})
	if node != nil {
		_, raw := c.commendaHook(node.url+"/raw", object{"topics": []string{topic}, "key": "whsec_abc123..."})
		_, parsed := c.commendaHook(node.url+"/parsed", object{"topics": []string{"unused", topic}})
		require.Equal(t, "whsec_abc123...", raw)
		node.learn(t, map[string]string{"/raw": raw, "/parsed": parsed})
	}
	random := rand.New(rand.NewPCG(3, 4))
	for range events {
		c.commendaPublish(topic, json.RawMessage(generate(random, 4)))
	}
	waitFor(t, "all events", func() bool { return len(r.requests()) == events })
	ids := map[string]bool{}
	for _, request := range r.requests() {
		ids[requireEvent(t, request, id, key).ID] = true
	}
	require.Len(t, ids, events)
	if node == nil {
		return
	}
	for range 2 * events {
		require.Regexp(t, `^verified /(raw|parsed) [0-9a-f-]{36}$`, node.next(t))
	}
}

// C6: every webhook gets the same event id, its own webhook_id, and the time of publishing as triggered_at. Retries
// change none of them.
func TestCommendaEventObject(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	topic := c.commendaTopic()
	one, two := newRecorder(t), newRecorder(t, status(500), status(503), status(200))
	oneID, oneKey := c.commendaHook(one.URL, object{"topic": topic})
	twoID, twoKey := c.commendaHook(two.URL, object{"topic": topic, "key": "two's key"})
	require.Equal(t, "two's key", twoKey)
	require.NotEqual(t, oneKey, twoKey)
	before := time.Now().Unix()
	c.do(http.MethodPost, "/events", object{"topic": topic, "data": object{"b": 1.5, "1": "<é>"}, "organization_id": "org \"7\""}, http.StatusAccepted)
	after := time.Now().Unix()
	waitFor(t, "the third attempt", func() bool { return len(two.requests()) == 3 })
	require.Len(t, one.requests(), 1)
	first := requireEvent(t, one.requests()[0], oneID, oneKey)
	require.Equal(t, topic, first.Topic)
	require.JSONEq(t, `{"1":"<é>","b":1.5}`, string(first.Data))
	require.Equal(t, `org "7"`, *first.OrganizationID)
	require.True(t, first.TriggeredAt >= before && first.TriggeredAt <= after)
	for _, request := range two.requests() {
		require.Equal(t, two.requests()[0].Body, request.Body, "the same bytes on every attempt")
		e := requireEvent(t, request, twoID, twoKey)
		require.Equal(t, first.ID, e.ID)
		require.Equal(t, first.TriggeredAt, e.TriggeredAt)
	}
	d := c.settled(hookID(t, twoID))
	require.Equal(t, "success", d["status"])
	require.EqualValues(t, 3, d["attempts"])
	event, err := hook.ParseEventID(first.ID)
	require.NoError(t, err)
	require.Equal(t, event.String(), d["event_id"], "the log has the id that the receiver saw")
}

// C5: a test delivery is a signed event object with the given data, sent once.
func TestCommendaTrigger(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	topic := c.commendaTopic()
	r := newRecorder(t, status(200), status(200), status(500))
	id, key := c.commendaHook(r.URL, object{"topics": []string{topic, "other"}, "status": "DISABLED"})
	trigger := func(body any) object {
		out := c.do(http.MethodPost, "/webhooks/test/trigger/"+id, body, http.StatusOK)
		require.Equal(t, "Successfully triggered webhook.", out["message"])
		return out["data"].(object)
	}
	require.Equal(t, "success", trigger(nil)["status"], "a test is sent to a disabled webhook too")
	require.Equal(t, "success", trigger(object{"event_data": object{"hello": "there"}, "topic": "other"})["status"])
	failed := trigger(object{"event_data": object{}})
	require.Equal(t, "failed", failed["status"])
	require.EqualValues(t, 1, failed["attempts"])
	got := r.requests()
	require.Len(t, got, 3, "a test is not retried")
	require.Equal(t, topic, requireEvent(t, got[0], id, key).Topic)
	second := requireEvent(t, got[1], id, key)
	require.Equal(t, "other", second.Topic)
	require.JSONEq(t, `{"hello":"there"}`, string(second.Data))
	c.do(http.MethodPost, "/webhooks/test/trigger/00000000-0000-7000-8000-000000000000", nil, http.StatusNotFound)
}

// C3, C4: a DISABLED webhook gets no requests, and an ENABLED one gets them again. Topic and URL can be changed.
// After the DELETE's 204 nothing is sent.
func TestCommendaUpdateAndDelete(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	topic, other := c.commendaTopic(), c.commendaTopic()
	one, two := newRecorder(t), newRecorder(t)
	id, key := c.commendaHook(one.URL, object{"topic": topic, "name": "first"})
	update := func(change object) object {
		out := c.do(http.MethodPost, "/webhooks/"+id, change, http.StatusOK)
		require.Equal(t, "Successfully updated webhook.", out["message"])
		return out["data"].(object)
	}
	require.Equal(t, "DISABLED", update(object{"status": "DISABLED"})["status"])
	require.EqualValues(t, 0, c.commendaPublish(topic, object{"n": 1})["deliveries"])
	updated := update(object{"status": "ENABLED", "url": two.URL, "topics": []string{other}})
	require.Equal(t, "first", updated["name"], "the rest is left")
	require.EqualValues(t, 0, c.commendaPublish(topic, object{"n": 2})["deliveries"])
	c.commendaPublish(other, object{"n": 3})
	waitFor(t, "the third event", func() bool { return len(two.requests()) == 1 })
	require.JSONEq(t, `{"n":3}`, string(requireEvent(t, two.requests()[0], id, key).Data))
	update(object{"key": "new key 2"})
	c.commendaPublish(other, object{"n": 4})
	waitFor(t, "the fourth event", func() bool { return len(two.requests()) == 2 })
	requireEvent(t, two.requests()[1], id, "new key 2")
	c.do(http.MethodDelete, "/webhooks/"+id, nil, http.StatusNoContent)
	c.do(http.MethodGet, "/webhooks/"+id, nil, http.StatusNotFound)
	require.EqualValues(t, 0, c.commendaPublish(other, object{"n": 5})["deliveries"])
	require.Empty(t, one.requests())
	require.Len(t, two.requests(), 2)
}
