package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

const acceptedEvent = "Successfully accepted event."

// C6: 202 means that the event is stored, with a delivery for every webhook that matches. The event object of each has
// the answer's id, time and organization.
func TestPublishCommendaEvent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.newCommendaWebhook(t, "Invoice paid!"), f.newCommendaWebhook(t, "B", "Invoice paid!")
	f.newCommendaWebhook(t, "B")
	e := f.post(t, "/events", `{"topic":"Invoice paid!","organization_id":"c2710df6-c6cf-4cd0-aa38-63faa44f16bc","data":{"b":1.0,"0":"é"}}`).
		data(t, http.StatusAccepted, acceptedEvent)
	require.Regexp(t, uuidPattern, e["id"])
	at := int64(e["triggered_at"].(float64))
	require.InDelta(t, time.Now().Unix(), at, 60)
	require.Equal(t, map[string]any{
		"id": e["id"], "topic": "Invoice paid!", "triggered_at": float64(at), "organization_id": "c2710df6-c6cf-4cd0-aa38-63faa44f16bc",
		"api_version": "v1.0", "deliveries": 2.0,
	}, e)
	require.ElementsMatch(t, []string{one, two}, f.receivers(t, e["id"]))
	id := eventID(t, e["id"])
	require.Equal(t, []string{id.String()}, f.dispatched.events())
	stored, err := f.store.Event(t.Context(), hook.DefaultTenant(), id)
	require.NoError(t, err)
	webhook, err := hook.ParseWebhookID(one)
	require.NoError(t, err)
	want := fmt.Appendf(nil, `{"id":"%s","topic":"Invoice paid!","triggered_at":%d,"webhook_id":"%s",`+
		`"organization_id":"c2710df6-c6cf-4cd0-aa38-63faa44f16bc","data":{"0":"é","b":1},"api_version":"v1.0"}`, e["id"], at, one)
	require.Equal(t, want, payload.CommendaBody(&stored, webhook))
	// On the standard surface, by either form of its id.
	for _, text := range []string{e["id"].(string), id.String()} {
		seen := f.get(t, "/v1/events/"+text).object(t, http.StatusOK)
		require.Equal(t, []any{id.String(), "Invoice paid!"}, []any{seen["id"], seen["type"]})
	}
}

// C6: no match, no organization, any JSON value.
func TestPublishCommendaEventWithoutMatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, data := range []string{`null`, `[]`, `"text"`, `0`, `false`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		e := f.post(t, "/events", `{"topic":"A","data":`+data+`}`).data(t, http.StatusAccepted, acceptedEvent)
		require.Equal(t, []any{"", 0.0}, []any{e["organization_id"], e["deliveries"]})
		id := eventID(t, e["id"])
		require.Equal(t, data, string(value[[]byte](t, f, `select data from events where id = $1`, [16]byte(id))))
	}
	require.Empty(t, f.dispatched.events())
}

// C6: an event published on either surface reaches matching webhooks of both
// profiles. Commenda's topics are never patterns.
func TestEventsCrossProfiles(t *testing.T) {
	t.Parallel()
	f := setup(t)
	exact, prefix, every := uuid(t, f.newWebhook(t, "user.created")), uuid(t, f.newWebhook(t, "user.*")), uuid(t, f.newWebhook(t, "*"))
	f.newWebhook(t, "user.deleted")
	commenda, star, prefixed := f.newCommendaWebhook(t, "user.created"), f.newCommendaWebhook(t, "*"), f.newCommendaWebhook(t, "user.*")
	want := []string{exact, prefix, every, commenda}
	e := f.publishTo(t, "user.created")
	require.EqualValues(t, 4, e["deliveries"])
	require.ElementsMatch(t, want, f.receivers(t, e["id"]))
	require.ElementsMatch(t, want, f.receivers(t, f.publish(t, `{"a":1}`)))
	// Topics match literally.
	require.ElementsMatch(t, []string{every, star}, f.receivers(t, f.publishTo(t, "*")["id"]))
	require.ElementsMatch(t, []string{every, prefix, prefixed}, f.receivers(t, f.publishTo(t, "user.*")["id"]))
	require.ElementsMatch(t, []string{every}, f.receivers(t, f.publishTo(t, "Free form, é")["id"]), "no catalogue here")
}

// C6, S8: the header makes a publish idempotent, on both surfaces together.
func TestPublishCommendaEventIdempotently(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newCommendaWebhook(t, "user.created")
	publish := func(body, key string) answer {
		return f.do(t, http.MethodPost, "/events", body, map[string]string{"Idempotency-Key": key})
	}
	const body = `{"topic":"user.created","data":{"a":1.0},"organization_id":"o"}`
	first := publish(body, "one").data(t, http.StatusAccepted, acceptedEvent)
	require.NotContains(t, first, "duplicate")
	again := publish(`{"organization_id":"o","data":{"a":1},"topic":"user.created","note":"x"}`, "one").data(t, http.StatusAccepted, acceptedEvent)
	require.Equal(t, true, again["duplicate"])
	delete(again, "duplicate")
	require.Equal(t, first, again)
	require.Len(t, f.dispatched.events(), 1)
	for _, other := range []string{
		strings.Replace(body, "1.0", "2", 1), strings.Replace(body, "created", "deleted", 1), strings.Replace(body, `"o"`, `"p"`, 1),
		`{"topic":"user.created","data":{"a":1}}`,
	} {
		publish(other, "one").problem(t, http.StatusConflict, "ALREADY_EXISTS")
	}
	require.NotContains(t, publish(body, "two").data(t, http.StatusAccepted, acceptedEvent), "duplicate")
	require.NotContains(t, f.post(t, "/events", body).data(t, http.StatusAccepted, acceptedEvent), "duplicate", "without a key")
	publish(body, strings.Repeat("a", 256)).refused(t, "header.Idempotency-Key", "255")

	plain := publish(`{"topic":"user.created","data":1}`, "three").data(t, http.StatusAccepted, acceptedEvent)
	standard := f.post(t, "/v1/events", `{"type":"user.created","data":1,"id":"three"}`).object(t, http.StatusAccepted)
	require.Equal(t, []any{eventID(t, plain["id"]).String(), true}, []any{standard["id"], standard["duplicate"]})
}

// C6 and 6: each wrong member is named, all of them at once.
func TestPublishCommendaRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct{ body, location, text string }{
		"topic missing":             {`{"data":1}`, "body", "topic"},
		"topic null":                {`{"topic":null,"data":1}`, "body", "topic"},
		"topic empty":               {`{"topic":"","data":1}`, "body.topic", "1 to 128"},
		"topic with spaces":         {`{"topic":" A","data":1}`, "body.topic", "surrounding spaces"},
		"topic with controls":       {`{"topic":"a\n","data":1}`, "body.topic", "control characters"},
		"topic too long":            {`{"topic":"` + strings.Repeat("é", 129) + `","data":1}`, "body.topic", "1 to 128"},
		"topic of another type":     {`{"topic":1,"data":1}`, "body.topic", "expected string"},
		"data missing":              {`{"topic":"A"}`, "body", "data"},
		"data twice":                {`{"topic":"A","data":1,"data":1}`, "body/data", "twice"},
		"a key twice":               {`{"topic":"A","data":{"a":[{"b":1,"b":1}]}}`, "body/data/a/0/b", "twice"},
		"a number loses digits":     {`{"topic":"A","data":[0,9007199254740993]}`, "body/data/1", "send it as a string"},
		"a lone surrogate":          {`{"topic":"A","data":{"s":"\ud800"}}`, "body/data/s", ""},
		"too deep":                  {`{"topic":"A","data":` + strings.Repeat("[", 101) + strings.Repeat("]", 101) + `}`, "body/data" + strings.Repeat("/0", 100), ""},
		"organization too long":     {`{"topic":"A","data":1,"organization_id":"` + strings.Repeat("é", 256) + `"}`, "body.organization_id", "255"},
		"organization and controls": {`{"topic":"A","data":1,"organization_id":"a\u0000"}`, "body.organization_id", "control characters"},
		"organization of a number":  {`{"topic":"A","data":1,"organization_id":7}`, "body.organization_id", "expected string"},
		"an array":                  {`[]`, "body", "JSON object"},
		"null":                      {`null`, "body", "JSON object"},
	} {
		a := f.post(t, "/events", c.body)
		a.refused(t, c.location, c.text)
		require.Len(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 1, "%s: %s", name, a.body)
	}
	p := f.post(t, "/events", `{"topic":"","organization_id":"\u0000"}`).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	for _, location := range []string{"body", "body.topic", "body.organization_id"} {
		p.at(t, location)
	}
	p = f.post(t, "/events", `{"organization_id":{},"data":1,"topic":[]}`).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	require.Len(t, p.Errors, 2)
	p.at(t, "body.topic")
	p.at(t, "body.organization_id")
	for _, body := range []string{"", " ", `{"topic":"A"`, `{"topic":"A","data":1}x`} {
		f.post(t, "/events", body).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	}
	f.do(t, http.MethodPost, "/events", `{"topic":"A","data":1}`, map[string]string{"Content-Type": "text/plain"}).
		problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
	require.Zero(t, value[int](t, f, `select count(*) from events`))
	longest := strings.Repeat("é", 255)
	e := f.post(t, "/events", `{"topic":"`+strings.Repeat("é", 128)+`","data":1,"organization_id":"`+longest+`"}`).data(t, http.StatusAccepted, acceptedEvent)
	require.Equal(t, longest, e["organization_id"])
}

// Spec 2.4: the size limit counts the whole event object, with the organization.
func TestPublishCommendaSizeLimit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const limit = 102_400
	body := func(size int) string {
		fitting := strings.Repeat("a", size-payload.LargestSize("A", "org", []byte(`""`)))
		return `{"topic":"A","organization_id":"org","data":"` + fitting + `"}`
	}
	f.post(t, "/events", body(limit)).data(t, http.StatusAccepted, acceptedEvent)
	f.post(t, "/events", body(limit+1)).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	f.post(t, "/events", `{"topic":"A","data":1`+strings.Repeat(" ", 2<<20)+`}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
}

// Spec 7: a key's allow-list of topics.
func TestPublishCommendaWithALimitedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key := f.post(t, "/v1/api-keys", `{"name":"limited","scopes":["publish"],"topics":["user.*","Invoice paid!"]}`).object(t, http.StatusCreated)
	limited := f.as(key["key"].(string))
	limited.publishTo(t, "user.anything")
	limited.publishTo(t, "Invoice paid!")
	limited.post(t, "/events", `{"topic":"A","data":1}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Equal(t, 2, value[int](t, f, `select count(*) from events`))
}
