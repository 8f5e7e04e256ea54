package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/postgres"
)

// marker returns a text that does not occur by chance.
func marker(what string) string { return "leak-" + what + "-Zx9Qk7Wv3Tn5" }

// secretStack starts a stack of several processes at debug level. Every secret it is given can be recognised.
func secretStack(t *testing.T, h *hidden) (s *stackProcess, dir, databaseURL, metrics string) {
	t.Helper()
	dir = t.TempDir()
	postgresLog := filepath.Join(t.TempDir(), "postgres.log")
	db, err := postgres.Start(t.Context(), postgres.Options{Port: postgres.AnyPort, LogFile: postgresLog, MaxConnections: stack.TemporalConns + stack.GrapnelConns})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, db.Stop(context.WithoutCancel(t.Context())))
		text, err := os.ReadFile(postgresLog)
		require.NoError(t, err)
		require.Contains(t, string(text), "grapnel", "the search would find something")
		h.search("PostgreSQL's log", string(text))
	})
	require.NoError(t, stack.CreateDatabase(t.Context(), db.URL("postgres"), stack.GrapnelDatabase))
	u, err := url.Parse(db.URL(stack.GrapnelDatabase))
	require.NoError(t, err)
	u.User = url.UserPassword(u.User.Username(), h.add("database password", marker("dbpassword")))

	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	free, err := stack.FreeAddrs(t.Context(), stack.Loopback, 1)
	require.NoError(t, err)
	first, second := stack.NewCredentials().Encryption, stack.NewCredentials().Encryption
	h.add("encryption key", first)
	h.add("second encryption key", second)
	s = start(t, dir, append(flags,
		"--processes=split", "--log-level=debug", "--database-url="+u.String(), "--encryption-key="+first+","+second, "--no-receiver",
		"--admin-key="+h.add("admin key", marker("adminkey")), "--metrics-addr="+free[0].String(),
		"--retry-schedule=300ms,10m,30m,2h", "--allow-http", "--max-events-per-workflow=1")...)
	return s, dir, db.URL(stack.GrapnelDatabase), "http://" + free[0].String() + "/metrics"
}

// Spec 7: secrets are never in logs, Temporal, errors or answers, except the answers that exist to show them;
// stored secrets are sealed or hashed. Payloads are only in PostgreSQL's events tables. The test makes every kind
// of valid and invalid request, then searches all data that the stack leaves behind.
func TestSecretsAreNowhere(t *testing.T) {
	t.Parallel()
	h := &hidden{t: t, values: map[string]string{}}
	s, dir, databaseURL, metrics := secretStack(t, h)
	c := &speaker{apiClient: clientOf(t, s)}
	c.key = h.values["admin key"]
	hooks := c.makeWebhooks(t, h)
	event := c.useThem(t, h, hooks)
	c.provoke(h, hooks)
	for _, path := range append(hooks.reads(event), "/v1/webhooks?limit=100", "/v1/events?limit=100", "/v1/api-keys", "/v1/tenants", "/v1/event-types", "/webhooks", "/caches/cache/webhooks") {
		status, _ := c.say(http.MethodGet, path, nil, "")
		require.Equal(t, http.StatusOK, status, path)
	}

	temporal, workflows := workflowData(t, s.ready["temporal"], s.ready["ui"])
	require.Greater(t, workflows, 4)
	require.Contains(t, temporal, event, "the search would find something")
	h.search("Temporal's workflows", temporal)
	for _, name := range []string{"temporal", "temporal_visibility"} {
		found := 0
		for table, rows := range dump(t, inDatabase(t, databaseURL, name)) {
			h.search("Temporal's table "+name+"."+table, rows)
			for _, spelling := range spellings(event) {
				found += strings.Count(rows, spelling)
			}
		}
		require.Positive(t, found, "the search would find something in %s", name)
	}
	payloads := 0
	for table, rows := range dump(t, databaseURL) {
		if strings.HasPrefix(table, "events_") {
			for _, spelling := range spellings(h.values["payload"]) {
				payloads += strings.Count(rows, spelling)
			}
			h.search("table "+table, rows, "payload")
			continue
		}
		h.search("table "+table, rows)
	}
	require.Positive(t, payloads, "the search would find something")
	text, err := c.metrics(metrics)
	require.NoError(t, err)
	require.Contains(t, text, "grapnel_http_requests_total")
	h.search("/metrics", text)

	c.outage(t, s, databaseURL)
	for _, heard := range c.heard {
		if !heard.shows {
			// Answers may show payloads to their publishers; errors may not.
			var not []string
			if heard.status < 300 {
				not = []string{"payload"}
			}
			h.search("the answer to "+heard.what, heard.text, not...)
		}
	}
	require.NoError(t, s.stop())
	files := logs(t, dir)
	require.Contains(t, files["api.log"]+files["worker.log"], event, "the search would find something")
	for _, name := range []string{"api.log", "worker.log", "temporal.log"} {
		require.NotEmpty(t, files, name)
		h.search(name, files[name])
	}
	h.search("what the stack prints", s.output.String(), "admin key") // the stack prints the admin key for its user
}

// secretHooks are webhooks of all profiles, with secrets set by the client and secrets generated by Grapnel.
type secretHooks struct {
	receiver            *recorder
	standard, generated string
	commenda, pending   string
	eventType           string
	deliveries          []string
}

func (w *secretHooks) reads(event string) []string {
	list := []string{"/v1/events/" + event, "/webhooks/" + w.commenda, "/caches/cache/webhooks/bot/deliveries", "/webhooks/" + w.commenda + "/deliveries"}
	for _, id := range []string{w.standard, w.generated, w.pending} {
		list = append(list, "/v1/webhooks/"+id, "/v1/webhooks/"+id+"/deliveries")
	}
	for _, id := range w.deliveries {
		list = append(list, "/v1/deliveries/"+id)
	}
	return list
}

func (c *speaker) makeWebhooks(t *testing.T, h *hidden) *secretHooks {
	t.Helper()
	w := &secretHooks{receiver: newRecorder(t, status(500), status(200)), eventType: "secret.made"}
	c.do(http.MethodPut, "/v1/event-types/"+w.eventType, object{}, http.StatusCreated)
	secretOf := func(out object, name string) string { return out[name].(string) }

	out := c.ask(http.MethodPost, "/v1/webhooks", fmt.Sprintf(`{"url":%q,"events":[%q],"secret":%q,"headers":{"Authorization":%q,"X-Custom":%q}}`,
		w.receiver.URL, w.eventType, h.add("client's secret", "whsec_"+marker("client")), h.add("custom header", "Bearer "+marker("header")), h.add("other custom header", marker("header2"))))
	w.standard = out["id"].(string)
	out = c.ask(http.MethodPost, "/v1/webhooks", fmt.Sprintf(`{"url":%q,"events":[%q],"signature_schemes":["v1","v1a"]}`, w.receiver.URL, w.eventType))
	w.generated = out["id"].(string)
	h.add("generated secret", secretOf(out, "secret"))
	out = c.ask(http.MethodPost, "/v1/webhooks", fmt.Sprintf(`{"url":%q,"events":[%q],"secret":%q}`,
		newRecorder(t, status(503)).URL, w.eventType, h.add("secret of one that fails", marker("failing"))))
	w.pending = out["id"].(string)
	status, _ := c.say(http.MethodPatch, "/v1/webhooks/"+w.standard, nil, fmt.Sprintf(`{"secret":%q}`, h.add("patched secret", marker("patched"))))
	require.Equal(t, http.StatusOK, status)
	h.add("rotated secret", secretOf(c.ask(http.MethodPost, "/v1/webhooks/"+w.generated+"/secret/rotate", ""), "secret"))
	c.ask(http.MethodPost, "/v1/webhooks/"+w.standard+"/secret/rotate", fmt.Sprintf(`{"secret":%q}`, h.add("given rotated secret", marker("rotated"))))
	c.ask(http.MethodGet, "/v1/webhooks/"+w.standard+"/secret", "")

	out = c.ask(http.MethodPost, "/webhooks", fmt.Sprintf(`{"url":%q,"topics":[%q],"key":%q}`, w.receiver.URL, w.eventType, h.add("commenda key", marker("commenda"))))
	w.commenda = out["data"].(object)["id"].(string)
	out = c.ask(http.MethodPost, "/webhooks", fmt.Sprintf(`{"url":%q,"topics":[%q]}`, w.receiver.URL, w.eventType))
	h.add("generated commenda key", secretOf(out["data"].(object), "key"))
	status, _ = c.say(http.MethodPost, "/webhooks/"+w.commenda, nil, fmt.Sprintf(`{"key":%q}`, h.add("new commenda key", marker("commenda2"))))
	require.Equal(t, http.StatusOK, status)

	h.add("momento secret", secretOf(c.ask(http.MethodPut, "/caches/cache/webhooks/bot", fmt.Sprintf(`{"destination":{"postUrl":%q},"topicName":"room"}`, w.receiver.URL)), "secretString"))
	c.ask(http.MethodGet, "/caches/cache/webhooks/bot/secret", "")
	h.add("rotated momento secret", secretOf(c.ask(http.MethodPost, "/caches/cache/webhooks/bot/secret/rotate", ""), "secret"))

	h.add("API key", secretOf(c.ask(http.MethodPost, "/v1/api-keys", `{"name":"publisher","scopes":["publish"]}`), "key"))
	h.add("tenant's key", secretOf(c.ask(http.MethodPost, "/v1/tenants", `{"name":"acme"}`)["api_key"].(object), "key"))
	return w
}

// useThem publishes events with keys in all places, lets deliveries fail and be retried, and sends test deliveries.
func (c *speaker) useThem(t *testing.T, h *hidden, w *secretHooks) (event string) {
	t.Helper()
	payload := h.add("payload", marker("payload"))
	publish := fmt.Sprintf(`{"type":%q,"data":{"card":%q}}`, w.eventType, payload)
	status, out := c.say(http.MethodPost, "/v1/events", http.Header{"Authorization": {"Bearer " + h.values["API key"]}}, publish)
	require.Equal(t, http.StatusAccepted, status, "%v", out)
	event = out["id"].(string)
	status, _ = c.say(http.MethodPost, "/events", nil, fmt.Sprintf(`{"topic":%q,"data":{"card":%q}}`, w.eventType, payload))
	require.Equal(t, http.StatusAccepted, status)
	status, _ = c.say(http.MethodPost, "/v1/events/batch", nil, `{"events":[`+publish+`,{"type":"nothing"}]}`)
	require.Equal(t, http.StatusAccepted, status)
	for _, how := range []struct {
		query string
		auth  []string
	}{{"?token=" + h.values["API key"], nil}, {"", []string{h.values["API key"]}}} {
		status, out = c.say(http.MethodPost, "/topics/cache/room"+how.query, http.Header{"Authorization": how.auth, "Content-Type": {"text/plain"}}, payload)
		require.Equal(t, http.StatusNoContent, status, "%v", out)
	}
	for _, id := range []string{w.standard, w.generated} {
		require.Equal(t, "success", c.settled(id)["status"])
	}
	waitFor(t, "a delivery that is to be tried again", func() bool {
		_, waits := c.deliveries(w.pending)[0].(object)["next_attempt_at"]
		return waits && c.deliveries(w.pending)[0].(object)["attempts"].(float64) > 1
	})
	for _, id := range []string{w.standard, w.pending} {
		status, _ = c.say(http.MethodPost, "/v1/webhooks/"+id+"/test", nil, fmt.Sprintf(`{"data":{"card":%q}}`, payload))
		require.Equal(t, http.StatusOK, status)
	}
	status, _ = c.say(http.MethodPost, "/webhooks/test/trigger/"+w.commenda, nil, "")
	require.Equal(t, http.StatusOK, status)
	for _, id := range []string{w.standard, w.pending} {
		for _, d := range c.deliveries(id) {
			w.deliveries = append(w.deliveries, d.(object)["id"].(string))
		}
		status, out = c.say(http.MethodPost, "/v1/deliveries/"+w.deliveries[len(w.deliveries)-1]+"/retry", nil, "")
		require.Equal(t, http.StatusOK, status, "%v", out)
	}
	sent := false
	for _, r := range w.receiver.requests() {
		sent = sent || r.Header.Get("Authorization") == h.values["custom header"]
	}
	require.True(t, sent, "the receiver gets the custom header as it is")
	return event
}

// provoke makes invalid requests that contain secrets.
func (c *speaker) provoke(h *hidden, w *secretHooks) {
	c.t.Helper()
	typo := h.add("secret in a bad request", marker("typo"))
	wrong := h.add("wrong API key", "gk_"+marker("wrongkey"))
	payload := h.values["payload"]
	long := strings.Repeat(typo, 20)
	hookBody := func(members string) string {
		return fmt.Sprintf(`{"url":%q,"events":[%q],%s}`, w.receiver.URL, w.eventType, members)
	}
	for _, bad := range []struct{ method, path, body string }{
		{http.MethodPost, "/v1/webhooks", hookBody(`"secret":"` + long + `"`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"secret":["` + typo + `"]`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"secret":{"a":"` + typo + `"}`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"secert":"` + typo + `"`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"signing":"` + typo + `"`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"secret":"` + typo + `","secret":"` + typo + `"`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"secret":"` + typo)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"secret":"` + typo + `\ud800"`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"headers":{"Content-Length":"` + typo + `"}`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"headers":{"X-A":"` + typo + `\r\nX-B: 1"}`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"headers":["` + typo + `"]`)},
		{http.MethodPost, "/v1/webhooks", hookBody(`"headers":"` + typo + `"`)},
		{http.MethodPost, "/v1/webhooks", `"` + typo + `"`},
		{http.MethodPost, "/v1/webhooks", `{"url":"https://user:` + typo + `@example.com/","events":["user.created"]}`},
		{http.MethodPost, "/v1/webhooks", `{"url":"ftp://user:` + typo + `@example.com/","events":["user.created"]}`},
		{http.MethodPatch, "/v1/webhooks/" + w.standard, `{"url":"https://` + typo + `@example.com/"}`},
		{http.MethodPatch, "/v1/webhooks/" + w.standard, `{"secret":"` + long + `"}`},
		{http.MethodPost, "/v1/webhooks/" + w.standard + "/secret/rotate", `{"secret":"` + long + `"}`},
		{http.MethodPost, "/v1/webhooks/" + w.standard + "/secret/rotate", `{"overlap_seconds":"` + typo + `"}`},
		{http.MethodPost, "/webhooks", `{"url":"https://example.com/","topics":["a"],"key":"` + long + `"}`},
		{http.MethodPost, "/webhooks", `{"url":"https://example.com/","topics":["a"],"key":{"a":"` + typo + `"}}`},
		{http.MethodPost, "/webhooks", `{"url":"https://a:` + typo + `@example.com/","topics":["a"]}`},
		{http.MethodPost, "/webhooks/" + w.commenda, `{"key":"` + long + `"}`},
		{http.MethodPut, "/caches/cache/webhooks/other", `{"destination":{"postUrl":"http://a:` + typo + `@example.com/"},"topicName":"t"}`},
		{http.MethodPut, "/caches/cache/webhooks/other", `{"destination":"` + typo + `","topicName":"t"}`},
		{http.MethodDelete, "/v1/api-keys/" + wrong, ""},
		{http.MethodPost, "/v1/events", `{"type":"` + w.eventType + `","data":{"a":"` + payload + `","a":1}}`},
		{http.MethodPost, "/v1/events", `{"type":"` + w.eventType + `","data":{"a":"` + payload + `","b":1e999}}`},
		{http.MethodPost, "/v1/events", `{"type":"` + w.eventType + `","data":"` + payload},
		{http.MethodPost, "/v1/events", `{"type":"` + w.eventType + `","card":"` + payload + `"}`},
		{http.MethodPost, "/events", `{"topic":7,"data":{"a":"` + payload + `"}}`},
		{http.MethodPost, "/v1/webhooks/" + w.standard + "/test", `{"type":"no.such","data":{"a":"` + payload + `"}}`},
	} {
		status, out := c.say(bad.method, bad.path, nil, bad.body)
		require.GreaterOrEqual(c.t, status, 400, "%s %s %s: %v", bad.method, bad.path, bad.body, out)
	}
	for _, auth := range []string{"Bearer " + wrong, "Basic " + wrong, wrong, "Bearer " + wrong + " " + wrong} {
		for _, path := range []string{"/v1/webhooks", "/webhooks", "/caches/cache/webhooks", "/topics/cache/room?token=" + wrong, "/topics/cache/room", "/v1/webhooks?token=" + wrong} {
			status, out := c.say(http.MethodGet, path, http.Header{"Authorization": {auth}}, "")
			require.Contains(c.t, []int{400, 401}, status, "%s with %s: %v", path, auth, out)
		}
	}
	for _, path := range []string{"/topics/cache/room?token=" + wrong, "/v1/events?token=" + wrong} {
		status, out := c.say(http.MethodGet, path, http.Header{"Authorization": nil}, "")
		require.Equal(c.t, http.StatusUnauthorized, status, "%v", out)
	}
}

// metrics reads the Prometheus metrics.
func (c *speaker) metrics(at string) (string, error) {
	was := c.url
	defer func() { c.url = was }()
	c.url = strings.TrimSuffix(at, "/metrics")
	_, text, err := c.send(c.t.Context(), http.MethodGet, "/metrics", "", nil)
	return string(text), err
}

// outage makes the worker and PostgreSQL unavailable, and makes requests meanwhile.
func (c *speaker) outage(t *testing.T, s *stackProcess, databaseURL string) {
	t.Helper()
	require.NoError(t, syscall.Kill(s.pid(t, "worker"), syscall.SIGKILL))
	// Refusing the API's connections has the effect of an outage of PostgreSQL.
	require.NoError(t, refuseConnections(t.Context(), databaseURL))
	waitFor(t, "an answer that says that the store is away", func() bool {
		status, _ := c.say(http.MethodGet, "/v1/webhooks", nil, "")
		return status == http.StatusServiceUnavailable
	})
	for _, path := range []string{"/v1/events", "/readyz", "/webhooks", "/topics/cache/room?token=" + c.key} {
		c.say(http.MethodGet, path, nil, "")
	}
}
