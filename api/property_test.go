package api_test

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// Spec 6: no input causes a 5xx or an answer that the document does not have, and requests that the document refuses
// are refused. The requests are generated from the document, so that new operations are tested too. Each operation has a
// seed of its own, which makes its requests the same each time, whatever other operations there are.
func TestNoInputBreaksAnOperation(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	const requestsPerOperation = 80
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = time.Millisecond })
	_, otherKey := f.newTenant(t)
	keys := []string{f.as("").key, otherKey, f.newKey(t, hook.DefaultTenant(), hook.ScopeRead), "gk_unknown"}
	g := &generator{doc: f.contract.doc, ids: map[string][]string{}}
	templates := slices.Sorted(maps.Keys(g.doc.Paths))
	asked, succeeded := 0, map[string]int{}
	for _, template := range templates {
		ops := methods(g.doc.Paths[template])
		for _, method := range slices.Sorted(maps.Keys(ops)) {
			op := ops[method]
			if op != nil {
				seed := fnv.New64()
				_, _ = seed.Write([]byte(op.OperationID)) // it never fails
				g.r = rand.New(rand.NewPCG(5, seed.Sum64()))
			}
			for i := range requestsPerOperation {
				if op != nil && i%30 == 0 {
					g.know(f.resources(t))
				}
				if op == nil {
					break
				}
				key := f.key
				if g.chance(20) {
					key = g.pick(keys)
				}
				r := g.request(t, f.contract, method, template, op)
				a := f.as(key).send(t, r)
				asked++
				require.Less(t, a.status, http.StatusInternalServerError, "%s\n%q\n%v\n%s", a.request, r.body, r.header, a.body)
				if a.status >= 300 {
					a.problem(t, a.status, codeOf(t, a))
					continue
				}
				succeeded[op.OperationID]++
				if op.OperationID == "publish-events" {
					continue // S9: errors of single events are in the answer
				}
				require.False(t, r.refused, "the document refuses what %s takes: %q", a.request, r.body)
			}
			if op != nil {
				require.Positive(t, succeeded[op.OperationID], "%s never succeeds: nothing but its refusals is tried", op.OperationID)
			}
		}
	}
	require.Greater(t, asked, len(templates)*requestsPerOperation)
	for line := range strings.Lines(f.log.String()) {
		require.Contains(t, line, "publish refused", "nothing that a client sends is a fault of ours")
	}
}

// codeOf returns the code of an answer.
func codeOf(t *testing.T, a answer) string {
	t.Helper()
	var p problem
	require.NoError(t, json.Unmarshal(a.body, &p), "%s: %s", a.request, a.body)
	require.NotEmpty(t, p.Code)
	return p.Code
}

// generated is a request.
type generated struct {
	method, path string
	body         []byte
	header       map[string]string
	// refused states that the document refuses the body.
	refused bool
}

// send sends a generated request and checks the answer against the document.
func (c *client) send(t *testing.T, g generated) answer {
	t.Helper()
	var body io.Reader
	if g.body != nil {
		body = strings.NewReader(string(g.body))
	}
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), g.method, c.server.URL+g.path, body)
	require.NoError(t, err)
	if c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	for name, value := range g.header {
		r.Header.Set(name, value)
	}
	response, err := c.server.Client().Transport.RoundTrip(r) // following no redirects
	require.NoError(t, err, "%s %s", g.method, g.path)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	a := answer{status: response.StatusCode, header: response.Header, body: content, request: g.method + " " + g.path}
	c.contract.conforms(t, g.method, r.URL.EscapedPath(), a)
	return a
}

// generator makes requests from the document. Most of them are valid except for one or two things.
type generator struct {
	r   *rand.Rand
	doc *huma.OpenAPI
	ids map[string][]string
}

func (g *generator) chance(percent int) bool { return g.r.IntN(100) < percent }

func (g *generator) pick(list []string) string { return list[g.r.IntN(len(list))] }

// know records resources that exist.
func (g *generator) know(ids map[string]string) {
	for kind, id := range ids {
		g.ids[kind] = append(g.ids[kind], id)
	}
}

func (g *generator) request(t *testing.T, c *contract, method, template string, op *huma.Operation) generated {
	t.Helper()
	r := generated{method: method, path: g.path(template), header: map[string]string{}}
	query := []string{}
	for _, p := range op.Parameters {
		switch {
		case p.In == "query" && g.chance(35):
			query = append(query, url.QueryEscape(p.Name)+"="+url.QueryEscape(g.text(p.Schema)))
		case p.In == "header" && g.chance(35):
			r.header[p.Name] = headerValue(g.text(p.Schema))
		}
	}
	if g.chance(8) {
		query = append(query, g.pick([]string{"%zz", "a;b", "unknown=1", "limit=1&limit=2", "=", "&&", "cursor", "%00=%00", strings.Repeat("a&", 500)}))
	}
	if len(query) > 0 {
		r.path += "?" + strings.Join(query, "&")
	}
	if g.chance(4) {
		r.header["Accept"] = g.pick([]string{"text/html", "*/*;q=x", "application/json;q=0", ",,,", "application/xml"})
	}
	if op.RequestBody == nil {
		return r
	}
	g.fill(t, c, &r, template, op.RequestBody)
	return r
}

// fill makes the body.
func (g *generator) fill(t *testing.T, c *contract, r *generated, template string, body *huma.RequestBody) {
	t.Helper()
	if media := body.Content["text/plain"]; media != nil {
		r.body = []byte(g.nasty())
		r.header["Content-Type"] = g.pick([]string{"text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "application/octet-stream", ";"})
		return
	}
	if !body.Required && g.chance(20) {
		return
	}
	r.header["Content-Type"] = "application/json"
	if g.chance(4) {
		r.header["Content-Type"] = g.pick([]string{"application/xml", "text/plain", "application/json; charset=latin1", "/", "multipart/form-data"})
	}
	schema := body.Content["application/json"].Schema
	wild := 0
	if g.chance(60) {
		wild = 12
	}
	text, err := json.Marshal(g.value(schema, "", wild, 0))
	require.NoError(t, err)
	if g.chance(20) {
		text = g.spoil(text)
	}
	r.body = text
	r.refused = (len(text) > 0 || body.Required) && !c.admits(t, r.method, template, withoutNulls(text))
}

// withoutNulls removes members that are null, which count as absent everywhere except in data.
func withoutNulls(text []byte) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return text
	}
	maps.DeleteFunc(members, func(name string, value json.RawMessage) bool {
		return string(value) == "null" && name != "data"
	})
	without, err := json.Marshal(members)
	if err != nil {
		return text
	}
	return without
}

// path fills the template with existing ids, ids of other kinds and malformed ids.
func (g *generator) path(template string) string {
	segments := strings.Split(template, "/")
	for i, segment := range segments {
		if !strings.HasPrefix(segment, "{") {
			continue
		}
		kind := map[string]string{
			"{cacheName}": "own", "{topicName}": "own", "{webhookName}": "momento", "{name}": "type", "{tenant}": "tenant",
		}[segment]
		if kind == "" {
			kind = idKind(template)
		}
		known := append([]string{"own"}, g.ids[kind]...)
		if kind == "type" {
			known = []string{"invoice.paid", "user.created", "order.made", "own.type"}
		} else if kind != "own" {
			known = g.ids[kind]
		}
		value := g.pick(known)
		switch {
		case g.chance(12):
			value = g.nasty()
		case g.chance(12):
			value = g.pick(g.ids[g.pick(slices.Sorted(maps.Keys(g.ids)))])
		}
		segments[i] = url.PathEscape(value)
	}
	return strings.Join(segments, "/")
}

// idKind returns the kind of resource that {id} stands for in a path.
func idKind(template string) string {
	for prefix, kind := range map[string]string{
		"/v1/webhooks/": "webhook", "/v1/events/": "event", "/v1/deliveries/": "delivery", "/v1/api-keys/": "key", "/webhooks/": "commenda",
		"/v1/replays/": "replay", "/v1/portal-sessions/": "session",
	} {
		if strings.HasPrefix(template, prefix) {
			return kind
		}
	}
	return "webhook"
}

// headerValue returns the part of a text that an HTTP client can send.
func headerValue(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, s))
}
