package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// injections returns texts that have a meaning in SQL, HTTP, logs, JSON or web pages. n makes each text unique.
func injections(n int) []string {
	texts := []string{
		`x'; drop table webhooks; --`, `x" or 1=1 --`, `x\'; select pg_sleep(9); --`, `$1`, `@tenant_id`, `x/*`, `\x00`, `%s%n%x`,
		"a\r\nX-Injected: 1", "a\nX-Injected: 1", "a\r", "a\x00b", "a\x1bb", "a\u2028b", "a\u2029b", "a\u0085b", "a\u202eb", "a\ufeffb", "a\ufffdb", "e\u0301",
		`<script>alert(1)</script>`, `{{.}}`, "${jndi:ldap://x}", `a"b\c`, `../../x`, "a\tb", "😀",
	}
	if !longtest.On() { // a third of them, which depends on n
		var some []string
		for i := n % 3; i < len(texts); i += 3 {
			some = append(some, texts[i])
		}
		texts = some
	}
	for i := range texts {
		texts[i] = fmt.Sprintf("%sn%d", texts[i], n*len(texts)+i)
	}
	return texts
}

// Spec 6, 7: in every string of every body, a text with a meaning in another language is refused, or is kept and
// returned unchanged.
func TestInjectionIntoBodies(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	n := 0
	everyOperation(t, func(_ string, op *huma.Operation, c call) {
		if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil {
			return
		}
		ids := f.resources(t)
		schema := op.RequestBody.Content["application/json"].Schema
		places := stringPlaces(f.contract.doc, schema, nil)
		require.Equal(t, c.id == "update-replay", len(places) == 0, "%s: only this one has no string", c.id)
		var base map[string]any
		require.NoError(t, json.Unmarshal([]byte(map[bool]string{true: c.filled(ids), false: "{}"}[c.body != ""]), &base))
		for _, place := range places {
			n++
			for _, text := range injections(n) {
				body, err := json.Marshal(put(base, place, text))
				require.NoError(t, err)
				a := f.do(t, c.method, c.with(ids), string(body), nil)
				require.Less(t, a.status, http.StatusInternalServerError, "%s %v %q: %s", c.id, place, text, a.body)
				switch {
				case a.status >= http.StatusBadRequest:
					continue
				case c.id == "diagnose-delivery": // it compares, and gives back no more than the bytes around a difference
					continue
				case c.id == "publish-events" && strings.Contains(string(a.body), `"accepted":0`):
					continue
				}
				require.True(t, f.keeps(t, a, ids, text), "%s took %q in %v and does not give it back: %s", c.id, text, place, a.body)
			}
		}
	})
	require.Equal(t, 1, value[int](t, f, `select count(*)::int from information_schema.tables where table_name = 'webhooks'`))
	require.NotContains(t, f.log.String(), "level=ERROR")
}

// keeps reports whether a text is in an answer, or in a resource whose id is in the answer or in the path.
func (f *fixture) keeps(t *testing.T, a answer, resources map[string]string, text string) bool {
	t.Helper()
	if holds(a.body, text) {
		return true
	}
	for _, path := range []string{"/v1/events?limit=2", "/caches/own/webhooks"} {
		if holds(f.get(t, path).body, text) {
			return true
		}
	}
	type ids struct {
		ID      string
		EventID string `json:"event_id"`
	}
	var made struct {
		ids
		Data ids
	}
	_ = json.Unmarshal(a.body, &made) // some answers are no objects, or have data of another kind
	for _, event := range []string{made.EventID, made.Data.EventID} {
		if event != "" && holds(f.get(t, "/v1/events/"+event).body, text) {
			return true
		}
	}
	for _, given := range []string{made.ID, made.Data.ID, resources["webhook"], resources["commenda"]} {
		id, err := hook.ParseWebhookID(given)
		if err != nil {
			continue // an id of another kind
		}
		stored, err := f.store.Webhook(t.Context(), hook.DefaultTenant(), id)
		if hook.KindOf(err) == hook.KindNotFound {
			continue
		}
		require.NoError(t, err)
		if stored.Secret.Reveal() == text || stored.Description == text {
			return true
		}
		for name, value := range stored.Headers {
			if name == text || value.Reveal() == text {
				return true
			}
		}
	}
	return false
}

// holds reports whether a string in a JSON text contains a text.
func holds(body []byte, text string) bool {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return false
	}
	return has(v, text)
}

func has(v any, text string) bool {
	switch v := v.(type) {
	case string:
		return strings.Contains(v, text)
	case []any:
		for _, item := range v {
			if has(item, text) {
				return true
			}
		}
	case map[string]any:
		for name, item := range v {
			if name == text || has(item, text) {
				return true
			}
		}
	}
	return false
}

// stringPlaces returns the places of strings in the values of a schema, as names of members. "0" is the first element
// of a list, and "*" the name of a member that may have any name.
func stringPlaces(doc *huma.OpenAPI, s *huma.Schema, at []string) (places [][]string) {
	for s.Ref != "" {
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	below := func(name string, s *huma.Schema) {
		places = append(places, stringPlaces(doc, s, append(append([]string{}, at...), name))...)
	}
	switch s.Type {
	case huma.TypeString, "":
		return [][]string{at}
	case huma.TypeArray:
		below("0", s.Items)
	case huma.TypeObject:
		for name, property := range s.Properties {
			below(name, property)
		}
		if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
			below("X-Any", more)
			below("*", more)
		}
	}
	return places
}

// put returns a copy of a JSON value with a text at a place.
func put(v any, place []string, text string) any {
	if len(place) == 0 {
		return text
	}
	switch place[0] {
	case "0":
		first := any(map[string]any{})
		if list, ok := v.([]any); ok && len(list) > 0 {
			first = list[0]
		}
		return []any{put(first, place[1:], text)}
	case "*":
		return map[string]any{text: "value"}
	}
	out := map[string]any{}
	if given, ok := v.(map[string]any); ok {
		for name, value := range given {
			out[name] = value
		}
	}
	out[place[0]] = put(out[place[0]], place[1:], text)
	return out
}

// Spec 6, 7: the same for every name and id in a path, and for every parameter.
func TestInjectionIntoPathsAndQueries(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	everyOperation(t, func(template string, op *huma.Operation, c call) {
		if c.id == "follow-topic" {
			return // it waits; its path has the names of publish-topic-message
		}
		ids := f.resources(t)
		for i, text := range injections(1000) {
			path := c.with(ids)
			if strings.Contains(template, "{") {
				have, want := strings.Split(path, "/"), strings.Split(template, "/")
				for at := range want {
					if strings.HasPrefix(want[at], "{") {
						have[at] = url.PathEscape(text)
					}
				}
				a := f.do(t, c.method, strings.Join(have, "/"), c.body, nil)
				require.Less(t, a.status, http.StatusInternalServerError, "%s %q: %s", c.id, text, a.body)
			}
			for _, p := range op.Parameters {
				switch p.In {
				case "query":
					a := f.do(t, c.method, path+"?"+p.Name+"="+url.QueryEscape(text), c.body, nil)
					require.Less(t, a.status, http.StatusInternalServerError, "%s %s %q: %s", c.id, p.Name, text, a.body)
				case "header":
					key := headerValue(text)
					a := f.do(t, c.method, path, c.body, map[string]string{p.Name: key})
					require.Less(t, a.status, http.StatusInternalServerError, "%s %s %q: %s", c.id, p.Name, text, a.body)
					if a.status < 300 && c.id == "publish-event" {
						require.True(t, holds(a.body, key), "%d %q: %s", i, key, a.body)
					}
				}
			}
		}
	})
	require.NotContains(t, f.log.String(), "level=ERROR")
}

// M1, M6: a name with any characters names its own resource and no other.
func TestNamesArriveAsTheyAre(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, text := range injections(2000) {
		path := "/caches/" + url.PathEscape(text) + "/webhooks"
		a := f.do(t, http.MethodPut, path+"/"+url.PathEscape(text), `{"destination":{"postUrl":"https://yourapp.com/"},"topicName":`+quoted(t, text)+`}`, nil)
		if a.status == http.StatusUnprocessableEntity {
			require.NotEmpty(t, hook.NameProblem(text), "%q: %s", text, a.body)
			continue
		}
		require.Equal(t, http.StatusOK, a.status, "%q: %s", text, a.body)
		list := f.get(t, path).list(t, "webhooks")
		require.Len(t, list, 1)
		require.Equal(t, map[string]any{"cacheName": text, "webhookName": text}, list[0]["id"])
		require.Equal(t, text, list[0]["topicName"])
	}
}

func quoted(t *testing.T, s string) string {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return string(b)
}
