package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

// Every answer has security headers, and no answer with customers' data may be cached.
func TestEveryAnswerIsSecured(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	check := func(a answer) {
		t.Helper()
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"), a.request)
		require.Equal(t, "DENY", a.header.Get("X-Frame-Options"), a.request)
		require.Equal(t, "no-referrer", a.header.Get("Referrer-Policy"), a.request)
		require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'; ", a.request)
		require.Contains(t, a.header.Get("Content-Security-Policy"), "frame-ancestors 'none'", a.request)
	}
	for _, c := range calls() {
		ids := f.resources(t)
		a := f.do(t, c.method, c.with(ids), c.filled(ids), nil)
		check(a)
		if !c.public() {
			require.Equal(t, []string{"no-store"}, a.header.Values("Cache-Control"), c.id)
		}
		check(f.as("").do(t, c.method, c.path, c.body, nil))
	}
	for _, path := range []string{
		"/docs/", "/docs/page.js", "/docs/page.css", "/docs/icon.svg", "/docs/reference.js", "/docs/openapi.json", "/docs/nothing",
		"/openapi.json", "/healthz", "/readyz", "/nothing", "/v1//webhooks",
	} {
		check(f.as("").get(t, path))
	}
}

// The documentation page runs only scripts that are files of this server.
func TestDocsRunNoScriptOfThePage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	page := f.as("").get(t, "/docs/")
	require.Contains(t, page.header.Get("Content-Security-Policy"), "script-src 'self';")
	html := string(page.body)
	require.NotRegexp(t, `<script>|<script [^>]*>[^<]|<style| on[a-z]+=|javascript:`, html)
	require.Equal(t, 2, strings.Count(html, "<script src="))
	require.Contains(t, f.as("").get(t, "/docs/page.js").header.Get("Content-Type"), "text/javascript")
	require.Contains(t, f.as("").get(t, "/docs/page.css").header.Get("Content-Type"), "text/css")
}

// The page has one field for the key; the document has every security scheme.
func TestDocsHaveOneFieldForTheKey(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	of := func(path string) (doc map[string]any) {
		a := f.as("").get(t, path)
		require.Equal(t, http.StatusOK, a.status)
		require.NoError(t, json.Unmarshal(a.body, &doc))
		return doc
	}
	schemes := func(doc map[string]any) map[string]any {
		return doc["components"].(map[string]any)["securitySchemes"].(map[string]any)
	}
	shown, whole := of("/docs/openapi.json"), of("/openapi.json")
	require.Len(t, schemes(whole), 3)
	require.Len(t, schemes(shown), 1)
	require.Equal(t, schemes(whole)["bearer"], schemes(shown)["bearer"])
	require.Contains(t, schemes(shown)["bearer"].(map[string]any)["description"], "without the word Bearer")

	one := []any{map[string]any{"bearer": []any{}}}
	public := 0
	for path, item := range shown["paths"].(map[string]any) {
		for method, operation := range item.(map[string]any) {
			security := operation.(map[string]any)["security"].([]any)
			if len(security) == 0 {
				public++
				continue
			}
			require.Equal(t, one, security, "%s %s", method, path)
		}
	}
	require.Equal(t, 1, public, "the public keys")
	shown["components"].(map[string]any)["securitySchemes"] = schemes(whole)
	require.Equal(t, whole["components"], shown["components"], "nothing else is other")
	require.Len(t, shown["paths"], len(whole["paths"].(map[string]any)))
}

// The example that the page fills in for an operation has just the members that it needs, and works.
func TestTryItOut(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	want := map[string]string{
		"create-webhook":          `{"url":"https://yourapp.com/webhook","events":["user.created","user.updated","project.created"]}`,
		"update-webhook":          `{"description":"Billing system"}`,
		"rotate-webhook-secret":   `{}`,
		"test-webhook":            `{}`,
		"publish-event":           `{"type":"user.created","data":{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}}`,
		"create-commenda-webhook": `{"url":"https://yourapp.com/webhook","topics":["REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED"]}`,
		"put-momento-webhook":     `{"destination":{"postUrl":"https://yourapp.com/webhook"},"topicName":"mo-nuts"}`,
	}
	tried := 0
	everyOperation(t, func(_ string, op *huma.Operation, c call) {
		if op.RequestBody == nil || op.RequestBody.Content["application/json"] == nil || c.id == "publish-topic-message" {
			return
		}
		example, err := json.Marshal(op.RequestBody.Content["application/json"].Example)
		require.NoError(t, err)
		if text, ok := want[c.id]; ok {
			require.JSONEq(t, text, string(example), c.id)
			tried++
		}
		caller := f
		if c.id == "create-replay" { // the account's webhooks have a replay already
			f.customer(t, "replaying")
			caller = f.naming("replaying")
			caller.newWebhook(t, "*")
		}
		a := caller.do(t, c.method, c.with(f.resources(t)), string(example), nil)
		require.Less(t, a.status, 300, "%s %s: %s", c.id, example, a.body)
	})
	require.Equal(t, len(want), tried)
}
