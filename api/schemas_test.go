package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

const invoiceSchema = `{"type":"object","required":["id"],"properties":{"id":{"type":"string","pattern":"^in_[0-9]+$"},` +
	`"lines":{"type":"array","items":{"properties":{"amount":{"type":"integer"}}}}}}`

// putSchema gives invoice.paid a schema.
func (c *client) putSchema(t *testing.T, schema string) map[string]any {
	t.Helper()
	a := c.do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"schema":`+schema+`}`, nil)
	require.Contains(t, []int{http.StatusOK, http.StatusCreated}, a.status, "%s", a.body)
	return a.object(t, a.status)
}

// locations returns the locations of a problem.
func (p problem) locations() (list []string) {
	for _, e := range p.Errors {
		list = append(list, e.Location)
	}
	return list
}

// S7: PUT replaces a type's schema. The catalogue shows the schema as it was given, and data that satisfies it.
func TestPutSchema(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const path = "/v1/event-types/invoice.paid"
	added := f.do(t, http.MethodPut, path, `{"description":"Paid","schema": `+invoiceSchema+` }`, nil).object(t, http.StatusCreated)
	text, err := json.Marshal(added["schema"])
	require.NoError(t, err)
	require.JSONEq(t, invoiceSchema, string(text))
	require.Equal(t, map[string]any{"id": "in_1", "lines": []any{map[string]any{"amount": 1.0}}}, added["example"])
	require.Equal(t, added, f.ownType(t))

	f.putSchema(t, ` { "title" : "\u00e9<&>", "multipleOf":15.0 } `)
	const canonical = `{"title":"é<&>","multipleOf":15}`
	require.True(t, value[bool](t, f, `select schema = convert_to($1, 'UTF8') from event_types`, canonical), "byte for byte")
	require.Equal(t, "Paid", f.ownType(t)["description"], "none was given")
	require.Equal(t, false, f.putSchema(t, `false`)["schema"])
	require.NotContains(t, f.ownType(t), "example", "nothing meets it")
	for _, body := range []string{``, `{}`, `{"schema":null}`} {
		f.putSchema(t, `true`)
		again := f.do(t, http.MethodPut, path, body, nil).object(t, http.StatusOK)
		require.NotContains(t, again, "schema")
		require.NotContains(t, again, "example")
		f.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).object(t, http.StatusAccepted)
	}
}

// ownType returns the last type of the catalogue.
func (c *client) ownType(t *testing.T) map[string]any {
	t.Helper()
	types := c.get(t, "/v1/event-types").list(t, "event_types")
	return types[len(types)-1]
}

// An invalid schema, or one with a reference to the outside, is refused with the place of the error, and nothing
// changes.
func TestPutSchemaRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	before := f.putSchema(t, invoiceSchema)
	const path = "/v1/event-types/invoice.paid"
	for schema, want := range map[string][2]string{
		`[]`:               {"body/schema", "must be an object or a boolean"},
		`"x"`:              {"body/schema", "must be an object or a boolean"},
		`{"type":"strin"}`: {"body/schema/type", `"integer", "null", "number"`},
		`{"properties":{"a/b":{"minLength":-1}}}`:               {"body/schema/properties/a~1b/minLength", "minimum"},
		`{"$ref":"https://example.com/schema.json"}`:            {"body/schema", "outside of the schema"},
		`{"$ref":"file:///etc/passwd"}`:                         {"body/schema", "outside of the schema"},
		`{"$schema":"http://json-schema.org/draft-07/schema#"}`: {"body/schema/$schema", "2020-12"},
		`{"title":"` + strings.Repeat("x", 32<<10) + `"}`:       {"body/schema", "more than 32768"},
		`{"const":12345678901234567890123}`:                     {"body/schema/const", "would arrive as"},
		`{"type":"object","type":"array"}`:                      {"body/schema/type", "twice"},
	} {
		f.do(t, http.MethodPut, path, `{"schema":`+schema+`}`, nil).refused(t, want[0], want[1])
	}
	f.do(t, http.MethodPut, path, `{"schema":{},"scema":{}}`, nil).refused(t, "body.scema", "unexpected property")
	f.do(t, http.MethodPut, path, `{"schema":{`, nil).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.do(t, http.MethodPut, path, `{"schema":{"title":"`+strings.Repeat("x", 300<<10)+`"}}`, nil).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	f.do(t, http.MethodPut, "/v1/event-types/user.created", `{"schema":{}}`, nil).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	require.Equal(t, before, f.ownType(t))

	f.exec(t, `insert into event_types (tenant_id, name, schema) select $1, 'large.' || n, convert_to(rpad('', 32768), 'UTF8') from generate_series(1, 127) n`,
		[16]byte(hook.DefaultTenant()))
	f.do(t, http.MethodPut, "/v1/event-types/a", `{"schema":{"title":"`+strings.Repeat("x", 32<<10-12)+`"}}`, nil).refused(t, "body.schema", "together")
}

// S7: published data must satisfy the schema, on each surface. Each place has one violation, which does not repeat the
// data.
func TestPublishedDataMeetsTheSchema(t *testing.T) {
	t.Parallel()
	f := setup(t).naming("default") // whose types are its own
	f.putSchema(t, invoiceSchema)
	f.newWebhook(t, "invoice.paid")
	const good, bad = `{"id":"in_1","lines":[{"amount":2.0}]}`, `{"id":"geheim","lines":[{"amount":1},{"amount":"geheim"}]}`
	publish := func(path, member string) {
		t.Helper()
		f.post(t, path, `{"`+member+`":"invoice.paid","data":`+good+`}`).object(t, http.StatusAccepted)
		a := f.post(t, path, `{"`+member+`":"invoice.paid","data":`+bad+`}`)
		p := a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Equal(t, []string{"body/data/id", "body/data/lines/1/amount"}, p.locations())
		require.Equal(t, "must match the pattern ^in_[0-9]+$ (RE2)", p.at(t, "body/data/id"))
		require.NotContains(t, string(a.body), "geheim")
		f.post(t, path, `{"`+member+`":"invoice.paid","data":1}`).refused(t, "body/data", "must be object")
		f.post(t, path, `{"`+member+`":"user.created","data":1}`).object(t, http.StatusAccepted)
	}
	publish("/v1/events", "type")
	publish("/events", "topic")
	require.Equal(t, 4, value[int](t, f, `select count(*)::int from events`), "what is refused leaves nothing behind")

	batch := f.post(t, "/v1/events/batch", `{"events":[{"type":"invoice.paid","data":`+bad+`},{"type":"invoice.paid","data":`+good+`},`+
		`{"type":"user.created","data":1},{"type":"invoice.paid","data":[]}]}`).object(t, http.StatusAccepted)
	require.EqualValues(t, 2, batch["accepted"])
	results := objects(t, batch["results"])
	for i, want := range map[int][]string{0: {"body.events[0]/data/id", "body.events[0]/data/lines/1/amount"}, 3: {"body.events[3]/data"}} {
		require.EqualValues(t, http.StatusUnprocessableEntity, results[i]["status"])
		var got []string
		for _, e := range objects(t, results[i]["error"].(map[string]any)["errors"]) {
			got = append(got, e["location"].(string))
		}
		require.Equal(t, want, got)
	}

	many := f.post(t, "/v1/events", `{"type":"invoice.paid","data":{"id":"in_1","lines":[`+strings.Repeat(`{"amount":"a"},`, 50)+`{}]}}`)
	require.Len(t, many.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 20)

	// Another tenant's type of the same name is another type. Topics that can't be types have no schema.
	_, key := f.newTenant(t)
	other := f.as(key)
	other.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil).object(t, http.StatusCreated)
	other.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).object(t, http.StatusAccepted)
	f.post(t, "/events", `{"topic":"invoice paid","data":1}`).object(t, http.StatusAccepted)
	f.post(t, "/events", `{"topic":"invoice.lost","data":1}`).object(t, http.StatusAccepted)
	// A message is not validated, whatever its topic is called.
	f.do(t, http.MethodPost, "/topics/cache/invoice.paid", "text", map[string]string{"Content-Type": "text/plain"})
	require.Equal(t, 1, value[int](t, f, `select count(*)::int from events where cache = 'cache'`))
}

// A schema may demand more steps than a check may take.
func TestSchemaThatCostsTooMuch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.putSchema(t, `{"properties":{"x":{"$ref":"#"}},"allOf":[{"properties":{"x":{"$ref":"#"}}}]}`)
	data := strings.Repeat(`{"x":`, 90) + "1" + strings.Repeat("}", 90)
	f.post(t, "/v1/events", `{"type":"invoice.paid","data":`+data+`}`).refused(t, "body/data", "too many steps")
}

// S11: a test sends the type's example, or given data that satisfies the schema.
func TestTestsMeetTheSchema(t *testing.T) {
	t.Parallel()
	f := setup(t)
	example := f.putSchema(t, invoiceSchema)["example"]
	standard, commenda := f.newWebhook(t, "invoice.*", "invoice.paid"), f.newCommendaWebhook(t, "invoice.paid")
	for _, c := range []struct{ path, data string }{
		{"/v1/webhooks/" + standard + "/test", "data"}, {"/webhooks/test/trigger/" + commenda, "event_data"},
	} {
		for body, want := range map[string]any{``: example, `{"` + c.data + `":{"id":"in_7"}}`: map[string]any{"id": "in_7"}} {
			require.Equal(t, http.StatusOK, f.post(t, c.path, body).status)
			sent := f.sender.sent[len(f.sender.sent)-1]
			event := f.get(t, "/v1/events/"+sent.EventID.String()).object(t, http.StatusOK)
			require.Equal(t, "invoice.paid", event["type"])
			require.Equal(t, want, event["data"])
		}
		f.post(t, c.path, `{"`+c.data+`":{"id":"x"}}`).refused(t, "body/"+c.data+"/id", "pattern")
		require.Equal(t, http.StatusOK, f.post(t, c.path, `{"`+map[string]string{"data": "type", "event_data": "topic"}[c.data]+`":"user.created"}`).status)
	}
	require.Len(t, f.sender.sent, 6)
	f.putSchema(t, `false`)
	f.post(t, "/v1/webhooks/"+standard+"/test", ``).refused(t, "body/data", "no example was found")
	f.post(t, "/webhooks/test/trigger/"+commenda, ``).refused(t, "body/event_data", "no example was found")
	require.Equal(t, http.StatusOK, f.post(t, "/webhooks/test/trigger/"+f.newCommendaWebhook(t, "no type"), `{"event_data":1}`).status)
}

// counting counts the calls of the store that schemas cause.
type counting struct {
	api.Store
	lookUps, reads atomic.Int64
}

func (s *counting) LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) ([]string, map[string]hook.SchemaHash, error) {
	s.lookUps.Add(1)
	return s.Store.LookUpEventTypes(ctx, tenant, names)
}

func (s *counting) EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error) {
	s.reads.Add(1)
	return s.Store.EventType(ctx, tenant, name)
}

// A type is looked up once, and its schema is read once.
func TestPublishReadsSchemasOnce(t *testing.T) {
	t.Parallel()
	store := &counting{}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store = store
	})
	publish := func(path, body string, lookUps, reads int64) {
		t.Helper()
		store.lookUps.Store(0)
		store.reads.Store(0)
		f.post(t, path, body).object(t, http.StatusAccepted)
		require.Equal(t, lookUps, store.lookUps.Load())
		require.Equal(t, reads, store.reads.Load())
	}
	f.do(t, http.MethodPut, "/v1/event-types/order.made", "", nil).object(t, http.StatusCreated)
	publish("/v1/events", `{"type":"order.made","data":1}`, 1, 0)
	publish("/events", `{"topic":"order.made","data":1}`, 0, 0)
	f.putSchema(t, `true`)
	for i := range 3 {
		first := int64(max(0, 1-i))
		publish("/v1/events", `{"type":"invoice.paid","data":1}`, first, first)
	}
	publish("/v1/events", `{"type":"order.made","data":1}`, 0, 0)
	publish("/events", `{"topic":"invoice.paid","data":1}`, 1, 0)
	publish("/events", `{"topic":"no type","data":1}`, 0, 0)
}

// A schema is in force at once in every process, because each looks its hash up.
func TestSchemasAreInForceInEveryProcess(t *testing.T) {
	t.Parallel()
	f := setup(t)
	second, _ := serve(t, api.Deps{
		Store: f.store, Dispatcher: f.dispatched, Sender: f.sender, Destinations: f.blocked, Topics: f.topics, Changes: f.watch,
		Logger: slog.New(slog.NewTextHandler(f.log, nil)), Config: api.Config{Version: "test"},
	})
	second.key = f.key
	processes := []*client{f.client, second}
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil).object(t, http.StatusCreated)
	for i := range 6 {
		putting := processes[i%2]
		for _, c := range processes { // they know the schema of before
			c.post(t, "/v1/events", `{"type":"invoice.paid","data":`+strconv.Itoa(max(0, i-1))+`}`).object(t, http.StatusAccepted)
		}
		putting.putSchema(t, `{"const":`+strconv.Itoa(i)+`}`)
		for _, c := range processes {
			for path, member := range map[string]string{"/v1/events": "type", "/events": "topic"} {
				c.post(t, path, `{"`+member+`":"invoice.paid","data":`+strconv.Itoa(i)+`}`).object(t, http.StatusAccepted)
				c.post(t, path, `{"`+member+`":"invoice.paid","data":-1}`).refused(t, "body/data", "the one value")
			}
		}
	}
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil).object(t, http.StatusOK)
	for _, c := range processes {
		c.post(t, "/v1/events", `{"type":"invoice.paid","data":-1}`).object(t, http.StatusAccepted)
	}
}

// If a schema can't be read, no data is accepted unchecked, and the answer has no cause.
func TestSchemaCannotBeRead(t *testing.T) {
	t.Parallel()
	f, store := setupFaulty(t)
	f.putSchema(t, `true`)
	webhook := f.newWebhook(t, "invoice.paid")
	for path, body := range map[string]string{
		"/v1/events": `{"type":"invoice.paid","data":1}`, "/events": `{"topic":"invoice.paid","data":1}`,
		"/v1/events/batch": `{"events":[{"type":"invoice.paid","data":1}]}`, "/v1/webhooks/" + webhook + "/test": ``,
	} {
		for _, at := range []int{1, 2} { // the look-up, the schema
			store.arm(at, hook.Unavailable("the store", errors.New(marker)))
			a := f.post(t, path, body)
			a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
			require.NotContains(t, string(a.body), "MARKER")
		}
	}
	store.arm(0, nil)
	f.exec(t, `update event_types set schema = '{"type":1}'`)
	f.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).problem(t, http.StatusInternalServerError, "INTERNAL")
	require.Contains(t, f.log.String(), "schema of event type invoice.paid")
	require.Zero(t, value[int](t, f, `select count(*)::int from events`))
}
