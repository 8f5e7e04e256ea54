package api_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/changes"
	"grapnel/internal/hook"
	"grapnel/internal/pgtest"
	"grapnel/internal/secrets"
	"grapnel/internal/syncbuf"
	"grapnel/internal/topics"
	"grapnel/storage"
	"grapnel/storage/pgtemplate"
)

// fixture is the real API over the real store, with fakes in place of Temporal and everything behind it. Its methods
// send HTTP requests as an admin of the default tenant.
type fixture struct {
	*client
	store      *storage.Store
	db         *pgx.Conn
	dispatched *dispatcher
	sender     *sender
	blocked    *destinations
	api        *api.API
	topics     *topics.Hub // it does not run: only messages that this process publishes wake subscribers
	watch      *changes.Watch
	log        *syncbuf.Buffer
}

// setup starts a fixture; change may replace what api.New gets.
func setup(t *testing.T, change ...func(*api.Deps)) *fixture {
	t.Helper()
	return setupLimited(t, storage.Limits{}, change...)
}

// setupLimited is setup with bounds on a tenant.
func setupLimited(t *testing.T, limits storage.Limits, change ...func(*api.Deps)) *fixture {
	t.Helper()
	url := pgtest.New(t, pgtemplate.Template())
	box, err := secrets.New(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	store, err := storage.Open(t.Context(), storage.Config{URL: url, Box: box, Limits: limits})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	db, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close(context.WithoutCancel(t.Context()))) })

	f := &fixture{store: store, db: db, dispatched: &dispatcher{}, sender: &sender{store: store}, blocked: &destinations{}, log: &syncbuf.Buffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(f.log.String())
		}
	})
	f.topics, err = topics.New(topics.Config{
		Store: store, Logger: slog.New(slog.NewTextHandler(f.log, nil)), Age: time.Hour, Newest: 1000, LookEvery: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	f.watch, err = changes.New(changes.Config{Store: store, Logger: slog.New(slog.NewTextHandler(f.log, nil)), Every: 20 * time.Millisecond})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	watched := make(chan error, 1)
	go func() { watched <- f.watch.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-watched)
	})
	deps := api.Deps{
		Store: store, Dispatcher: f.dispatched, Sender: f.sender, Destinations: f.blocked, Topics: f.topics, Changes: f.watch,
		Logger: slog.New(slog.NewTextHandler(f.log, nil)),
		Config: api.Config{Version: "test", TemporalUI: "http://ui.example/namespaces/default", MaxKeys: 10_000},
		Checks: map[string]api.Check{"database": store.Ready},
	}
	for _, c := range change {
		c(&deps)
	}
	f.client, f.api = serve(t, deps)
	f.key = f.operatorKey(t)
	return f
}

// serve serves the API and checks every answer against its document.
func serve(t *testing.T, deps api.Deps) (*client, *api.API) {
	t.Helper()
	a, err := api.NewForTest(t, deps)
	require.NoError(t, err)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	return &client{server: server, contract: newContract(t)}, a
}

func (f *fixture) newKey(t *testing.T, tenant hook.TenantID, scopes ...hook.Scope) string {
	t.Helper()
	text := secrets.NewAPIKey()
	_, err := f.store.CreateKey(t.Context(), hook.APIKey{TenantID: tenant, Name: "test", Scopes: scopes}, text)
	require.NoError(t, err)
	return text.Reveal()
}

// operatorKey is an admin key of the default tenant that also manages tenants.
func (f *fixture) operatorKey(t *testing.T) string {
	t.Helper()
	text := secrets.NewAPIKey()
	require.NoError(t, f.store.EnsureOperatorKey(t.Context(), "test", text))
	return text.Reveal()
}

// newTenant makes a tenant and an admin key of it.
func (f *fixture) newTenant(t *testing.T) (hook.TenantID, string) {
	t.Helper()
	id := hook.TenantID{15: 9}
	f.exec(t, `insert into tenants (id, name) values ($1, 'other')`, [16]byte(id))
	return id, f.newKey(t, id, hook.ScopeAdmin)
}

func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := f.db.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func value[T any](t *testing.T, f *fixture, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, f.db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

// newWebhook makes a webhook over HTTP and returns its id.
func (f *fixture) newWebhook(t *testing.T, events ...string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"url": "https://yourapp.com/webhook", "events": events})
	require.NoError(t, err)
	return f.post(t, "/v1/webhooks", string(body)).object(t, http.StatusCreated)["id"].(string)
}

// publish publishes user.created and returns the event's id.
func (f *fixture) publish(t *testing.T, data string) string {
	t.Helper()
	return f.post(t, "/v1/events", `{"type":"user.created","data":`+data+`}`).object(t, http.StatusAccepted)["id"].(string)
}

// deliver publishes an event of a type to which only this webhook subscribes, and records its attempts. It returns the
// delivery's id.
func (f *fixture) deliver(t *testing.T, webhook string, attempts ...hook.Attempt) string {
	t.Helper()
	event := f.publish(t, `{"id":"user_123"}`)
	id, err := hook.ParseEventID(event)
	require.NoError(t, err)
	deliveries, err := f.store.DeliveriesOfEvent(t.Context(), id, 1000)
	require.NoError(t, err)
	for _, d := range deliveries {
		if d.WebhookID.String() != webhook {
			continue
		}
		for _, a := range attempts {
			f.record(t, d, a)
		}
		return d.ID.String()
	}
	t.Fatalf("event %s has no delivery for %s", event, webhook)
	return ""
}

// record judges and stores an attempt as activities do.
func (f *fixture) record(t *testing.T, d hook.Delivery, a hook.Attempt) {
	t.Helper()
	require.NoError(t, record(t.Context(), f.store, d.ID, a))
}

type client struct {
	server   *httptest.Server
	contract *contract
	key      string
	// tenant is sent as Grapnel-Tenant unless it is empty.
	tenant string
}

// as returns the same client with another key, which names no tenant.
func (c *client) as(key string) *client {
	return &client{server: c.server, contract: c.contract, key: key}
}

// naming returns the same client, naming a tenant.
func (c *client) naming(tenant string) *client {
	return &client{server: c.server, contract: c.contract, key: c.key, tenant: tenant}
}

func (c *client) get(t *testing.T, path string) answer {
	t.Helper()
	return c.do(t, http.MethodGet, path, "", nil)
}

func (c *client) post(t *testing.T, path, body string) answer {
	t.Helper()
	return c.do(t, http.MethodPost, path, body, nil)
}

// do sends a request and checks the answer against the document. A body is JSON unless a header says otherwise.
func (c *client) do(t *testing.T, method, path, body string, header map[string]string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.tenant != "" {
		r.Header.Set("Grapnel-Tenant", c.tenant)
	}
	for name, value := range header {
		r.Header.Set(name, value)
		if value == "" {
			r.Header.Del(name)
		}
	}
	response, err := c.server.Client().Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	a := answer{status: response.StatusCode, header: response.Header, body: content, request: method + " " + path}
	c.contract.conforms(t, method, r.URL.EscapedPath(), a)
	return a
}

type answer struct {
	request string
	status  int
	header  http.Header
	body    []byte
}

// object returns the answer's JSON object. The answer must have the status.
func (a answer) object(t *testing.T, status int) map[string]any {
	t.Helper()
	require.Equal(t, status, a.status, "%s: %s", a.request, a.body)
	require.Equal(t, "application/json", a.header.Get("Content-Type"))
	var v map[string]any
	require.NoError(t, json.Unmarshal(a.body, &v), "%s", a.body)
	return v
}

// list returns the named member of the answer, a list of objects.
func (a answer) list(t *testing.T, name string) []map[string]any {
	t.Helper()
	return objects(t, a.object(t, http.StatusOK)[name])
}

func objects(t *testing.T, v any) []map[string]any {
	t.Helper()
	items, ok := v.([]any)
	require.True(t, ok, "%v is no list", v)
	list := make([]map[string]any, 0, len(items))
	for _, item := range items {
		list = append(list, item.(map[string]any))
	}
	return list
}

type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Errors []struct {
		Location string `json:"location"`
		Message  string `json:"message"`
		Value    any    `json:"value"`
	} `json:"errors"`
}

// problem returns the problem in the answer, which must have the status and the code.
func (a answer) problem(t *testing.T, status int, code string) problem {
	t.Helper()
	require.Equal(t, status, a.status, "%s: %s", a.request, a.body)
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var p problem
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&p), "%s", a.body)
	require.Equal(t, "about:blank", p.Type)
	require.Equal(t, http.StatusText(status), p.Title)
	require.Equal(t, status, p.Status)
	require.Equal(t, code, p.Code)
	return p
}

// at returns the message for a location, which the problem must name.
func (p problem) at(t *testing.T, location string) string {
	t.Helper()
	for _, e := range p.Errors {
		if e.Location == location {
			return e.Message
		}
	}
	t.Fatalf("no error at %q: %+v", location, p)
	return ""
}

// refused asserts a 422 that names the location, with a message that contains text.
func (a answer) refused(t *testing.T, location, text string) {
	t.Helper()
	require.Contains(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, location), text)
}

// moment returns a time of the API: RFC 3339 in UTC, whole seconds, about now.
func moment(t *testing.T, v any) time.Time {
	t.Helper()
	text, _ := v.(string)
	at, err := time.Parse("2006-01-02T15:04:05Z", text)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), at, time.Minute)
	return at
}
