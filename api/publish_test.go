package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/canonjson/canonjsontest"
	workflowcontract "grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/payload"
)

// S8: 202 means that the event is stored, with one delivery for every webhook that matches now.
func TestPublish(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, events := range []string{"user.created", "user.*", "*"} {
		f.newWebhook(t, events)
	}
	f.newWebhook(t, "user.created", "user.*", "*") // once, although it matches thrice
	f.newWebhook(t, "user.deleted")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+f.newWebhook(t, "user.created"), `{"active":false}`, nil)

	accepted := f.post(t, "/v1/events", `{"type":"user.created","data":{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}}`).object(t, http.StatusAccepted)
	require.Regexp(t, `^evt_[0-7][0-9a-hjkmnp-tv-z]{25}$`, accepted["id"])
	moment(t, accepted["created_at"])
	require.Equal(t, map[string]any{"id": accepted["id"], "type": "user.created", "created_at": accepted["created_at"], "deliveries": 4.0}, accepted)
	f.newWebhook(t, "*") // later

	require.Equal(t, 1, value[int](t, f, `select count(*) from events`))
	require.Equal(t, 4, value[int](t, f, `select count(*) from deliveries where state = 'pending' and next_attempt_at is not null`))
	require.Equal(t, 1, value[int](t, f, `select count(*) from outbox`))
	require.Equal(t, []string{accepted["id"].(string)}, f.dispatched.events())
	require.Equal(t, 4, f.dispatched.starts[0].Deliveries)
	require.Len(t, f.dispatched.starts[0].Targets, 4)
	require.Equal(t, "yourapp.com", f.dispatched.starts[0].Targets[0].Host)
}

// S8: an event without a match is accepted: it has no deliveries and starts no workflow.
func TestPublishWithoutMatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "user.deleted")
	accepted := f.post(t, "/v1/events", `{"type":"user.created","data":{}}`).object(t, http.StatusAccepted)
	require.EqualValues(t, 0, accepted["deliveries"])
	require.Empty(t, f.dispatched.events())
	require.Zero(t, value[int](t, f, `select count(*) from outbox`))
	e := f.get(t, "/v1/events/"+accepted["id"].(string)).object(t, http.StatusOK)
	require.NotContains(t, e, "workflow_id")
	require.NotContains(t, e, "workflow_url")
}

// Spec 9: an event for an unavailable endpoint is accepted like any other. The webhook's drain is started for it
// instead of a workflow, once.
func TestPublishForAnUnavailableEndpoint(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id, err := hook.ParseWebhookID(f.newWebhook(t, "user.created"))
	require.NoError(t, err)
	f.exec(t, `update webhooks set tripped_at = now()`)
	for range 2 {
		accepted := f.post(t, "/v1/events", `{"type":"user.created","data":{}}`).object(t, http.StatusAccepted)
		require.EqualValues(t, 1, accepted["deliveries"])
		e := f.get(t, "/v1/events/"+accepted["id"].(string)).object(t, http.StatusOK)
		require.Equal(t, workflowcontract.DrainID(id), e["workflow_id"])
	}
	require.Empty(t, f.dispatched.events())
	require.Equal(t, []hook.WebhookID{id}, f.dispatched.drains)
}

// Spec 2: data is stored in canonical form and is returned so, byte for byte.
func TestPublishStoresCanonicalData(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	for _, v := range canonjsontest.Load(t, "../internal/canonjson").Accept {
		id, err := hook.ParseEventID(f.publish(t, v.Input))
		require.NoError(t, err)
		require.Equal(t, v.Output, string(value[[]byte](t, f, `select data from events where id = $1`, [16]byte(id))), "%q", v.Input)
		got := f.get(t, "/v1/events/"+id.String())
		require.Equal(t, http.StatusOK, got.status)
		require.Contains(t, string(got.body), `"data":`+v.Output+`,`, "%q", v.Input)
	}
}

// Spec 2.2: data whose value the round trip would change is refused with a pointer to the place, and is not stored.
func TestPublishRefusesWhatWouldChange(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, v := range canonjsontest.Load(t, "../internal/canonjson").Reject {
		a := f.post(t, "/v1/events", `{"type":"user.created","data":`+v.Input+`}`)
		status := http.StatusUnprocessableEntity
		// No JSON text contains a byte order mark either.
		if v.Why == "not JSON" {
			status = http.StatusBadRequest
		}
		if v.Input == "" || strings.TrimSpace(v.Input) == "" {
			status = http.StatusBadRequest
		}
		p := a.problem(t, status, "INVALID_ARGUMENT")
		require.Len(t, p.Errors, 1, "%q", v.Input)
		require.True(t, strings.HasPrefix(p.Errors[0].Location, "body"), "%q", v.Input)
	}
	for input, location := range map[string]string{
		`{"a":1,"a":2}`:                                     "body/data/a",
		`{"a":[1,{"b/c~d":1e400}]}`:                         "body/data/a/1/b~1c~0d",
		`[0,9007199254740993]`:                              "body/data/1",
		`{"s":"\ud800"}`:                                    "body/data/s",
		`0.12345678901234567890123`:                         "body/data",
		strings.Repeat("[", 101) + strings.Repeat("]", 101): "body/data" + strings.Repeat("/0", 100),
	} {
		f.post(t, "/v1/events", `{"type":"user.created","data":`+input+`}`).refused(t, location, "")
	}
	f.post(t, "/v1/events", `{"type":"user.created","data":123456789012345678901234567890}`).refused(t, "body/data", "send it as a string")
	require.Zero(t, value[int](t, f, `select count(*) from events`))
	require.Empty(t, f.dispatched.events())
}

// S8: any JSON value is data.
func TestPublishAnyValue(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, data := range []string{`null`, `[]`, `{}`, `[1,[2]]`, `"text"`, `""`, `0`, `true`, `false`, strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		id := f.publish(t, " "+data+" ")
		var got struct {
			Data json.RawMessage `json:"data"`
		}
		require.NoError(t, json.Unmarshal(f.get(t, "/v1/events/"+id).body, &got))
		require.Equal(t, data, string(got.Data))
	}
}

func TestPublishRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct{ body, location, text string }{
		"data missing":         {`{"type":"user.created"}`, "body", "data"},
		"type missing":         {`{"data":1}`, "body", "type"},
		"both missing":         {`{}`, "body", "data"},
		"type empty":           {`{"type":"","data":1}`, "body", "type"},
		"type null":            {`{"type":null,"data":1}`, "body", "type"},
		"type of another type": {`{"type":1,"data":1}`, "body.type", "expected string"},
		"type with a space":    {`{"type":"user created","data":1}`, "body.type", "letters, digits"},
		"type a pattern":       {`{"type":"user.*","data":1}`, "body.type", "letters, digits"},
		"type too long":        {`{"type":"` + strings.Repeat("a", 129) + `","data":1}`, "body.type", "128"},
		"type unknown":         {`{"type":"user.create","data":1}`, "body.type", "did you mean user.created?"},
		"id empty":             {`{"type":"user.created","data":1,"id":""}`, "body.id", "1 to 255"},
		"id too long":          {`{"type":"user.created","data":1,"id":"` + strings.Repeat("é", 256) + `"}`, "body.id", "1 to 255"},
		"id with controls":     {`{"type":"user.created","data":1,"id":"a\u0000"}`, "body.id", "control characters"},
		"id of another type":   {`{"type":"user.created","data":1,"id":7}`, "body.id", "expected string"},
		"unknown member":       {`{"type":"user.created","data":1,"idd":"a"}`, "body.idd", "unexpected property"},
		"other case":           {`{"Type":"user.created","data":1}`, "body.Type", "unexpected property"},
		"member twice":         {`{"type":"user.created","data":1,"type":"user.deleted"}`, "body/type", "twice"},
		"data twice":           {`{"type":"user.created","data":1,"data":1}`, "body/data", "twice"},
		"an array":             {`[{"type":"user.created","data":1}]`, "body", "JSON object"},
		"null":                 {`null`, "body", "JSON object"},
		"a string":             {`"user.created"`, "body", "JSON object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.post(t, "/v1/events", c.body).refused(t, c.location, c.text)
		})
	}
	const good = `{"type":"user.created","data":1}`
	for name, c := range map[string]struct {
		body, contentType string
		status            int
		code              string
	}{
		"empty":                 {"", "application/json", 400, "INVALID_ARGUMENT"},
		"white space":           {" \n", "application/json", 400, "INVALID_ARGUMENT"},
		"cut off":               {good[:20], "application/json", 400, "INVALID_ARGUMENT"},
		"more after the object": {good + `{}`, "application/json", 400, "INVALID_ARGUMENT"},
		"a trailing comma":      {`{"type":"user.created","data":1,}`, "application/json", 400, "INVALID_ARGUMENT"},
		"a byte order mark":     {"\ufeff" + good, "application/json", 422, "INVALID_ARGUMENT"},
		"a form":                {good, "application/x-www-form-urlencoded", 415, "INVALID_ARGUMENT"},
		"octets":                {good, "application/octet-stream", 415, "INVALID_ARGUMENT"},
		"no media type":         {good, "json", 415, "INVALID_ARGUMENT"},
		"a huge request":        {`{"type":"user.created","data":1` + strings.Repeat(" ", 2<<20) + `}`, "application/json", 413, "PAYLOAD_TOO_LARGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.do(t, http.MethodPost, "/v1/events", c.body, map[string]string{"Content-Type": c.contentType}).problem(t, c.status, c.code)
		})
	}
	for _, contentType := range []string{"APPLICATION/json", "application/json; charset=utf-8"} {
		require.Equal(t, http.StatusAccepted, f.do(t, http.MethodPost, "/v1/events", good, map[string]string{"Content-Type": contentType}).status)
	}
}

// S8: a client's id, or the header, makes a publish idempotent.
func TestPublishIdempotently(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	key := strings.Repeat("é", 255)
	body := func(data, id string) string { return `{"type":"user.created","data":` + data + `,"id":"` + id + `"}` }
	first := f.post(t, "/v1/events", body(`{"a":1.0}`, key)).object(t, http.StatusAccepted)
	require.NotContains(t, first, "duplicate")
	require.Equal(t, key, first["idempotency_key"])
	require.NotEqual(t, key, first["id"])

	again := f.post(t, "/v1/events", body(`{ "a" : 1 }`, key)).object(t, http.StatusAccepted)
	require.Equal(t, true, again["duplicate"], "the same content in canonical form")
	delete(again, "duplicate")
	require.Equal(t, first, again)
	require.Len(t, f.dispatched.events(), 1, "a duplicate is not dispatched")
	require.Equal(t, 1, value[int](t, f, `select count(*) from events`))
	require.Equal(t, 1, value[int](t, f, `select count(*) from deliveries`))

	f.post(t, "/v1/events", body(`{"a":2}`, key)).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	f.post(t, "/v1/events", strings.Replace(body(`{"a":1}`, key), "created", "deleted", 1)).problem(t, http.StatusConflict, "ALREADY_EXISTS")

	// The header is the same key as the member.
	header := map[string]string{"Idempotency-Key": "order-1"}
	one := f.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1}`, header).object(t, http.StatusAccepted)
	require.Equal(t, "order-1", one["idempotency_key"])
	two := f.post(t, "/v1/events", body("1", "order-1")).object(t, http.StatusAccepted)
	require.Equal(t, []any{one["id"], true}, []any{two["id"], two["duplicate"]})
	three := f.do(t, http.MethodPost, "/v1/events", body("1", "order-1"), header).object(t, http.StatusAccepted)
	require.Equal(t, one["id"], three["id"])
	f.do(t, http.MethodPost, "/v1/events", body("1", "order-2"), header).refused(t, "header.Idempotency-Key", "differs")
	f.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1}`, map[string]string{"Idempotency-Key": strings.Repeat("a", 256)}).
		refused(t, "header.Idempotency-Key", "255")

	// After 24 hours the key is free again.
	f.exec(t, `update idempotency_keys set expires_at = now()`)
	later := f.post(t, "/v1/events", body(`{"a":2}`, key)).object(t, http.StatusAccepted)
	require.NotContains(t, later, "duplicate")
	require.NotEqual(t, first["id"], later["id"])
}

// A refused publish leaves its idempotency key free.
func TestRefusedPublishLeavesTheKeyFree(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(t, "/v1/events", `{"type":"user.create","data":1,"id":"a"}`).refused(t, "body.type", "")
	require.NotContains(t, f.post(t, "/v1/events", `{"type":"user.created","data":2,"id":"a"}`).object(t, http.StatusAccepted), "duplicate")
}

// Spec 2.4: a body of more than 102,400 bytes to be delivered is 413; the limit is exact.
func TestPublishSizeLimit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const limit = 102_400
	fitting := func(size int) string {
		return `"` + strings.Repeat("a", size-payload.LargestSize("user.created", "", []byte(`""`))) + `"`
	}
	id, err := hook.ParseEventID(f.publish(t, fitting(limit)))
	require.NoError(t, err)
	e, err := f.store.Event(t.Context(), hook.DefaultTenant(), id)
	require.NoError(t, err)
	// The larger of the two bodies counts, with the longest possible time.
	require.Len(t, payload.CommendaBody(&e, hook.WebhookID{}), limit-len("00"))
	require.Less(t, len(payload.StandardBody(&e)), limit)
	f.post(t, "/v1/events", `{"type":"user.created","data":`+fitting(limit+1)+`}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	// Only the canonical form counts.
	f.publish(t, strings.Repeat(" ", limit)+fitting(limit))
}

// Spec 7: a key's allow-list of types.
func TestPublishWithALimitedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key := f.post(t, "/v1/api-keys", `{"name":"users only","scopes":["publish"],"topics":["user.*","file.uploaded"]}`).object(t, http.StatusCreated)
	limited := f.as(key["key"].(string))
	for _, eventType := range []string{"user.created", "file.uploaded"} {
		require.Equal(t, http.StatusAccepted, limited.post(t, "/v1/events", `{"type":"`+eventType+`","data":1}`).status)
	}
	limited.post(t, "/v1/events", `{"type":"payment.failed","data":1}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}

// Spec 7: a key that has just been used and is revoked in another process publishes nothing more. The client gets 401,
// not an error about the event.
func TestPublishWithAKeyThatWasRevokedElsewhere(t *testing.T) {
	t.Parallel()
	f := setup(t)
	text := f.newKey(t, hook.DefaultTenant(), hook.ScopePublish)
	c := f.as(text)
	const event, unknown = `{"type":"user.created","data":1}`, `{"type":"no.such","data":1}`
	c.post(t, "/v1/events", event).object(t, http.StatusAccepted)
	c.post(t, "/v1/events", event).object(t, http.StatusAccepted) // the key is known now
	c.post(t, "/v1/events", unknown).refused(t, "body.type", "not a known event type")
	f.exec(t, `update api_keys set revoked_at = now() where hash = sha256($1::bytea)`, []byte(text))
	for _, body := range []string{event, unknown, `{"type":"user.created","data":1,"id":"order-1"}`} {
		a := c.post(t, "/v1/events", body)
		a.problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
		require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
	}
	require.Equal(t, 2, value[int](t, f, `select count(*)::int from events`))
	require.Zero(t, value[int](t, f, `select count(*)::int from idempotency_keys`))
}

// S8: an event that can't be stored has no 202 and starts no workflow.
func TestPublishThatCannotBeStored(t *testing.T) {
	t.Parallel()
	f, store := setupFaulty(t)
	f.newWebhook(t, "user.created")
	store.arm(1, hook.Unavailable("the store", errors.New(marker))) // the key and the type are known
	f.post(t, "/v1/events", `{"type":"user.created","data":1}`).problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	require.True(t, store.failed())
	require.Empty(t, f.dispatched.events())
}

// A request full of unknown members must not make work: the first one ends it, before the rest is parsed.
func TestPublishStopsAtTheFirstUnknownMember(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var b strings.Builder
	b.WriteString(`{"type":"user.created"`)
	for i := range 40_000 {
		fmt.Fprintf(&b, `,"m%d":0`, i)
	}
	f.post(t, "/v1/events", b.String()).refused(t, "body.m0", "unexpected property") // and is cut off
	a := f.post(t, "/v1/events", `{"`+strings.Repeat("é", 100_000)+`":1}`)
	a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	require.Less(t, len(a.body), 1000)
}

// Publishing looks up a single type. The whole catalogue, which a tenant can make long, is read for a suggestion only.
func TestPublishReadsNoCatalogue(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Store = noCatalogue{d.Store} })
	require.Equal(t, http.StatusCreated, f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil).status)
	require.Equal(t, http.StatusAccepted, f.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).status)
	id := f.newWebhook(t, "invoice.paid", "user.created")
	require.Equal(t, http.StatusOK, f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"events":["invoice.paid"]}`, nil).status)
	require.Equal(t, http.StatusOK, f.post(t, "/v1/webhooks/"+id+"/test", `{"type":"invoice.paid"}`).status)
	require.NotContains(t, f.log.String(), "MARKER")
	f.post(t, "/v1/events", `{"type":"invoice.payd","data":1}`).problem(t, http.StatusInternalServerError, "INTERNAL")
}

type noCatalogue struct{ api.Store }

func (noCatalogue) EventTypes(context.Context, hook.TenantID, hook.EventTypeFilter, hook.NamePage) ([]hook.EventType, bool, error) {
	return nil, false, errors.New(marker)
}

func (noCatalogue) EventTypeNames(context.Context, hook.TenantID) ([]string, error) {
	return nil, errors.New(marker)
}
