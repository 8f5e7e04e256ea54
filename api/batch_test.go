package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// batchResult is the result of one event of a batch.
type batchResult struct {
	Status   int            `json:"status"`
	TenantID string         `json:"tenant_id"`
	Event    map[string]any `json:"event"`
	Error    *problem       `json:"error"`
}

// batchOf returns the request body that publishes the events.
func batchOf(events ...string) string { return `{"events":[` + strings.Join(events, ",") + `]}` }

// results returns the results of a batch, which must be as many as its events.
func (a answer) results(t *testing.T, events int) []batchResult {
	t.Helper()
	a.object(t, http.StatusAccepted)
	var got struct {
		Accepted, Refused int
		Results           []batchResult
	}
	require.NoError(t, json.Unmarshal(a.body, &got))
	require.Len(t, got.Results, events)
	accepted := 0
	for i, r := range got.Results {
		require.NotEqual(t, r.Event == nil, r.Error == nil, "result %d is either", i)
		if r.Event != nil {
			require.Equal(t, http.StatusAccepted, r.Status)
			accepted++
		} else {
			require.Equal(t, r.Error.Status, r.Status)
		}
	}
	require.Equal(t, []int{accepted, events - accepted}, []int{got.Accepted, got.Refused})
	return got.Results
}

// batch publishes events and returns their results.
func (c *client) batch(t *testing.T, events ...string) []batchResult {
	t.Helper()
	return c.post(t, "/v1/events/batch", batchOf(events...)).results(t, len(events))
}

// S9: one result per event, in order, each as publish-event would have answered.
func TestPublishBatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "user.created")
	f.newWebhook(t, "user.*")
	require.Equal(t, http.StatusCreated, f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil).status)
	results := f.batch(t,
		`{"type":"user.created","data":{"b":1.0,"1":"<é>"}}`, `{"type":"invoice.paid","data":null}`, ` {"data" : [ 2 ],"type":"user.deleted","id":"order-1"} `)
	for i, want := range []struct {
		eventType, data string
		deliveries      int
	}{{"user.created", `{"1":"<é>","b":1}`, 2}, {"invoice.paid", `null`, 0}, {"user.deleted", `[2]`, 1}} {
		e := results[i].Event
		moment(t, e["created_at"])
		object := map[string]any{"id": e["id"], "type": want.eventType, "created_at": e["created_at"], "deliveries": float64(want.deliveries)}
		if i == 2 {
			object["idempotency_key"] = "order-1"
		}
		require.Equal(t, object, e)
		require.Equal(t, want.data, f.dataOf(t, e["id"]))
	}
	require.Equal(t, 3, value[int](t, f, `select count(*) from events`))
	require.Equal(t, 3, value[int](t, f, `select count(*) from deliveries`))
	require.Equal(t, 2, value[int](t, f, `select count(*) from outbox`))
	require.Equal(t, []string{results[0].Event["id"].(string), results[2].Event["id"].(string)}, f.dispatched.events())
	start := f.dispatched.starts[0]
	require.Equal(t, hook.DefaultTenant(), start.TenantID)
	require.Equal(t, "user.created", start.EventType)
	require.Len(t, start.Targets, 2)
}

// dataOf returns the stored data of the event with this id.
func (f *fixture) dataOf(t *testing.T, id any) string {
	t.Helper()
	event, err := hook.ParseEventID(id.(string))
	require.NoError(t, err)
	return string(value[[]byte](t, f, `select data from events where id = $1`, [16]byte(event)))
}

// S9: bad events are reported, each at its place and as if it were published alone. The good events between them are
// stored and dispatched, in order.
func TestPublishBatchOfGoodAndBad(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	key := f.post(t, "/v1/api-keys", `{"name":"users only","scopes":["publish"],"topics":["user.*"]}`).object(t, http.StatusCreated)
	limited := f.as(key["key"].(string))
	require.Equal(t, http.StatusAccepted, limited.post(t, "/v1/events", `{"type":"user.created","data":0,"id":"taken"}`).status)
	before := len(f.dispatched.events())

	bad := []struct {
		event    string
		status   int
		location string // within the event; "-" if the problem names none
	}{
		{`{"type":"user.create","data":1}`, 422, ".type"},
		{`{"type":"user created","data":1}`, 422, ".type"},
		{`{"type":7,"data":1}`, 422, ".type"},
		{`{"type":"user.created","data":{"n":[9007199254740993]}}`, 422, "/data/n/0"},
		{`{"type":"user.created","data":{"a":{"b":1,"b":1}}}`, 422, "/data/a/b"},
		{`{"type":"user.created","data":"\ud800"}`, 422, "/data"},
		{"{\"type\":\"user.created\",\"data\":\"\xff\"}", 422, "/data"},
		{`{"type":"user.created","data":1,"data":2}`, 422, "/data"},
		{`{"type":"user.created"}`, 422, ""},
		{`{"data":1}`, 422, ""},
		{`{}`, 422, ""},
		{`{"type":"user.created","data":1,"idd":"a"}`, 422, ".idd"},
		{`{"type":"user.created","data":1,"id":""}`, 422, ".id"},
		{`"user.created"`, 422, ""},
		{`[{"type":"user.created","data":1}]`, 422, ""},
		{`null`, 422, ""},
		{`{"type":"payment.failed","data":1}`, 403, "-"},
		{`{"type":"user.created","data":"` + strings.Repeat("a", 102_400) + `"}`, 413, "-"},
		{`{"type":"user.created","data":1,"id":"taken"}`, 409, "-"},
	}
	var list []string
	for i := range bad {
		list = append(list, fmt.Sprintf(`{"type":"user.created","data":{"place":%d}}`, 2*i), bad[i].event)
	}
	var accepted []string
	for i, r := range limited.batch(t, list...) {
		if i%2 == 0 {
			require.Equal(t, fmt.Sprintf(`{"place":%d}`, i), f.dataOf(t, r.Event["id"]))
			require.EqualValues(t, 1, r.Event["deliveries"])
			accepted = append(accepted, r.Event["id"].(string))
			continue
		}
		want := bad[i/2]
		require.Equal(t, want.status, r.Status, "%s: %+v", want.event, r.Error)
		place := fmt.Sprintf("body.events[%d]", i)
		if want.location == "-" {
			require.Empty(t, r.Error.Errors)
		} else {
			r.Error.at(t, place+want.location)
		}
		alone := limited.post(t, "/v1/events", want.event).problem(t, want.status, r.Error.Code)
		for n := range alone.Errors {
			alone.Errors[n].Location = place + strings.TrimPrefix(alone.Errors[n].Location, "body")
		}
		require.Equal(t, alone, *r.Error, want.event)
	}
	require.Equal(t, accepted, f.dispatched.events()[before:])
	require.Equal(t, 1+len(bad), value[int](t, f, `select count(*) from events`))
	require.Equal(t, 1+len(bad), value[int](t, f, `select count(*) from deliveries`))
}

// S9: if every event is bad, each has an error of its own.
func TestPublishBatchOfNothingGood(t *testing.T) {
	t.Parallel()
	f := setup(t)
	results := f.batch(t, `1`, `{"type":"user.create","data":1}`)
	results[0].Error.at(t, "body.events[0]")
	require.Contains(t, results[1].Error.at(t, "body.events[1].type"), "did you mean user.created?")
	require.Zero(t, value[int](t, f, `select count(*) from events`))
}

// S8, S9: idempotency keys apply within a batch, across batches, and together with single publishes.
func TestPublishBatchIdempotently(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	event := func(id, data string) string { return `{"type":"user.created","data":` + data + `,"id":"` + id + `"}` }
	first := f.batch(t, event("a", `{"n":1.0}`), event("b", "1"), event("a", `{ "n" : 1 }`), event("a", "2"), event("b", "1"))
	for i, same := range map[int]int{2: 0, 4: 1} {
		require.NotContains(t, first[same].Event, "duplicate")
		require.Equal(t, true, first[i].Event["duplicate"])
		delete(first[i].Event, "duplicate")
		require.Equal(t, first[same].Event, first[i].Event, "the same answer")
	}
	require.Equal(t, []any{http.StatusConflict, "ALREADY_EXISTS"}, []any{first[3].Status, first[3].Error.Code})
	dispatched := []string{first[0].Event["id"].(string), first[1].Event["id"].(string)}
	require.Equal(t, dispatched, f.dispatched.events(), "a duplicate is not dispatched")

	again := f.batch(t, event("b", "1"), event("c", "3"), event("a", "2"))
	require.Equal(t, []any{first[1].Event["id"], true}, []any{again[0].Event["id"], again[0].Event["duplicate"]})
	require.NotContains(t, again[1].Event, "duplicate")
	require.Equal(t, http.StatusConflict, again[2].Status)

	single := f.post(t, "/v1/events", event("c", "3")).object(t, http.StatusAccepted)
	require.Equal(t, []any{again[1].Event["id"], true}, []any{single["id"], single["duplicate"]})
	require.Equal(t, 3, value[int](t, f, `select count(*) from events`))
	require.Equal(t, 3, value[int](t, f, `select count(*) from deliveries`))
	require.Len(t, f.dispatched.events(), 3)
}

// S9: a batch has 1 to 1,000 events.
func TestPublishBatchSize(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.newWebhook(t, "*")
	list := make([]string, 1000)
	for i := range list {
		list[i] = fmt.Sprintf(`{"type":"user.created","data":%d}`, i)
	}
	f.post(t, "/v1/events/batch", batchOf(append(list, list[0])...)).refused(t, "body.events", "<= 1000")
	f.post(t, "/v1/events/batch", batchOf()).refused(t, "body.events", ">= 1")
	require.Zero(t, value[int](t, f, `select count(*) from events`))

	var ids []string
	for i, r := range f.batch(t, list...) {
		require.Equal(t, fmt.Sprint(i), f.dataOf(t, r.Event["id"]))
		ids = append(ids, r.Event["id"].(string))
	}
	require.Equal(t, ids, f.dispatched.events())
}

// Spec 6: a request that is no batch is refused as a whole.
func TestPublishBatchRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const good = `{"type":"user.created","data":1}`
	for name, c := range map[string]struct{ body, location, text string }{
		"no events":       {`{}`, "body", "events"},
		"null":            {`null`, "body", "JSON object"},
		"an array":        {`[` + good + `]`, "body", "JSON object"},
		"events null":     {`{"events":null}`, "body.events", "expected array"},
		"events an event": {`{"events":` + good + `}`, "body.events", "expected array"},
		"unknown member":  {`{"events":[` + good + `],"event":1}`, "body.event", "unexpected property"},
		"other case":      {`{"Events":[` + good + `]}`, "body.Events", "unexpected property"},
		"one event":       {good, "body.type", "unexpected property"},
		"events twice":    {`{"events":[` + good + `],"events":[` + good + `]}`, "body/events", "twice"},
		"byte order mark": {"\ufeff" + batchOf(good), "body", "byte order mark"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.post(t, "/v1/events/batch", c.body).refused(t, c.location, c.text)
		})
	}
	for name, c := range map[string]struct {
		body, contentType string
		status            int
		text              string // the message about the body
	}{
		"empty":                   {"", "application/json", 400, ""},
		"white space":             {" \n", "application/json", 400, ""},
		"no JSON":                 {"events", "application/json", 400, ""},
		"cut off in an event":     {`{"events":[` + good[:20], "application/json", 400, "is not JSON from byte"},
		"cut off between events":  {`{"events":[` + good + `,`, "application/json", 400, "is not JSON from byte"},
		"cut off after events":    {`{"events":[` + good + `]`, "application/json", 400, "is not JSON from byte"},
		"cut off before events":   {`{"events":`, "application/json", 400, "is not JSON from byte"},
		"no value":                {`{"events"}`, "application/json", 400, "is not JSON from byte"},
		"an event that ends it":   {`{"events":[` + good + `}]}`, "application/json", 400, "is not JSON from byte 43"},
		"a trailing comma":        {`{"events":[` + good + `,]}`, "application/json", 400, "is not JSON from byte"},
		"a comma after events":    {`{"events":[` + good + `],}`, "application/json", 400, "is not JSON from byte"},
		"something after it":      {batchOf(good) + `{}`, "application/json", 400, "something follows the object"},
		"garbage after it":        {batchOf(good) + `x`, "application/json", 400, "something follows the object"},
		"a form":                  {batchOf(good), "application/x-www-form-urlencoded", 415, ""},
		"more than fits into one": {batchOf(good) + strings.Repeat(" ", 16<<20), "application/json", 413, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := "INVALID_ARGUMENT"
			if c.status == http.StatusRequestEntityTooLarge {
				code = "PAYLOAD_TOO_LARGE"
			}
			p := f.do(t, http.MethodPost, "/v1/events/batch", c.body, map[string]string{"Content-Type": c.contentType}).problem(t, c.status, code)
			if c.text != "" {
				require.Contains(t, p.at(t, "body"), c.text)
			}
		})
	}
	t.Cleanup(func() { require.Empty(t, f.dispatched.events()) })
}

// Spec 7: a batch without the scope for publishing is refused before it is read.
func TestPublishBatchWithoutTheScope(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead, hook.ScopeWebhooks)).
		post(t, "/v1/events/batch", batchOf(`{"type":"user.created","data":1}`)).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Zero(t, value[int](t, f, `select count(*) from events`))
}

// Spec 6: while the store is unavailable, nothing is accepted and the whole request is to be repeated, even if some of
// its events are bad.
func TestPublishBatchWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	f, store := setupFaulty(t)
	f.newWebhook(t, "*")
	body := batchOf(`{"type":"user.created","data":1,"id":"a"}`, `{"type":"user.created"}`, `{"type":"user.deleted","data":2}`)
	for _, at := range []int{1, 2} { // the look-up of the types, the storing
		store.arm(at, hook.Unavailable("the store", errors.New(marker)))
		a := f.post(t, "/v1/events/batch", body)
		require.True(t, store.failed())
		a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
		require.Equal(t, "2", a.header.Get("Retry-After"))
		require.NotContains(t, string(a.body), "MARKER")
	}
	store.arm(2, errors.New(marker))
	a := f.post(t, "/v1/events/batch", body)
	a.problem(t, http.StatusInternalServerError, "INTERNAL") // nothing was stored, and the events are not to blame
	require.NotContains(t, string(a.body), "MARKER")
	require.Empty(t, f.dispatched.events())

	store.arm(0, nil)
	require.NotContains(t, f.post(t, "/v1/events/batch", body).results(t, 3)[0].Event, "duplicate")
}

// S9: an event that only the store refuses fails alone, and its error has no cause (spec 6), which is logged.
func TestPublishBatchWithOneThatCannotBeStored(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	f.exec(t, `alter table events add constraint secret_constraint check (data <> '"bad"')`)
	a := f.post(t, "/v1/events/batch", batchOf(
		`{"type":"user.created","data":1,"id":"a"}`, `{"type":"user.created","data":"bad","id":"b"}`, `{"type":"user.created","data":3}`))
	results := a.results(t, 3)
	require.Equal(t, problem{Type: "about:blank", Title: "Internal Server Error", Status: 500, Code: "INTERNAL", Detail: "something went wrong on our side"}, *results[1].Error)
	require.NotContains(t, string(a.body), "secret_constraint")
	require.Contains(t, f.log.String(), "secret_constraint")
	require.Equal(t, []string{results[0].Event["id"].(string), results[2].Event["id"].(string)}, f.dispatched.events())
	require.Equal(t, 2, value[int](t, f, `select count(*) from deliveries`))
}

// Spec 6, S9: if the time is up in the middle of a batch, each result says whether its event is stored, because
// repeating stored events would publish them twice.
func TestPublishBatchWhoseTimeIsUp(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.Timeout = 3 * time.Second })
	f.newWebhook(t, "*")
	// Another transaction is storing an event under the second event's id and does not finish.
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `insert into idempotency_keys (tenant_id, key, fingerprint, event_id, expires_at)
		values ($1, 'held', sha256(''), gen_random_uuid(), now() + interval '1 day')`, [16]byte(hook.DefaultTenant()))
	require.NoError(t, err)
	results := f.batch(t, `{"type":"user.created","data":1}`, `{"type":"user.created","data":2,"id":"held"}`, `{"type":"user.created","data":3}`)
	// The statement of the second event may go on once the other transaction ends.
	stored, dispatched := value[int](t, f, `select count(*) from events`), f.dispatched.events()
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, http.StatusServiceUnavailable, results[1].Status)
	require.Equal(t, "UNAVAILABLE", results[1].Error.Code)
	require.Equal(t, []string{results[0].Event["id"].(string), results[2].Event["id"].(string)}, dispatched)
	require.Equal(t, 2, stored)
	require.Contains(t, f.log.String(), "events of a batch failed")
}

// slow is a store that goes on storing until the client has gone.
type slow struct {
	api.Store
	asked chan struct{}
}

func (s slow) PublishAll(ctx context.Context, list []hook.Publication) ([]hook.Accepted, []error) {
	close(s.asked)
	<-ctx.Done()
	errs := make([]error, len(list))
	for i := range errs {
		errs[i] = ctx.Err()
	}
	return make([]hook.Accepted, len(list)), errs
}

// A disconnected client is not logged as an error, however many events it sent.
func TestPublishBatchOfAClientThatGoesAway(t *testing.T) {
	t.Parallel()
	seen, asked := &metrics{}, make(chan struct{})
	f := setup(t, func(d *api.Deps) { d.Metrics, d.Store = seen, slow{d.Store, asked} })
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, f.server.URL+"/v1/events/batch",
		strings.NewReader(batchOf(`{"type":"user.created","data":1}`, `{"type":"user.created","data":2}`)))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+f.key)
	r.Header.Set("Content-Type", "application/json")
	go func() {
		<-asked
		leave()
	}()
	response, err := f.server.Client().Do(r)
	if err == nil {
		response.Body.Close()
	}
	require.ErrorIs(t, err, context.Canceled)
	f.server.Close() // waits for the request
	require.Empty(t, f.log.String())
	require.Equal(t, []string{"publish-events 499"}, seen.all())
}
