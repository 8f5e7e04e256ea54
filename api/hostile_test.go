package api_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/egress"
	"grapnel/internal/egress/egresstest"
	"grapnel/internal/longtest"
)

// Spec 8: a hostile destination that is an address is refused when a webhook is created or updated, on all three
// surfaces, under the name of its field and never with a 5xx. A refused update changes nothing.
func TestHostileDestinations(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	guard, err := egress.New(egress.Config{})
	require.NoError(t, err)
	t.Cleanup(guard.Close)
	f := setup(t, func(d *api.Deps) { d.Destinations, d.Config.AllowHTTP = guard, true })

	const good = "https://yourapp.com/webhook"
	standard := f.newWebhook(t, "user.created")
	commenda := f.newCommendaWebhook(t, "user.created")
	momento := "/caches/c/webhooks/good"
	body := func(v any) string {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		return string(text)
	}
	put := func(url string) string {
		return body(map[string]any{"destination": map[string]any{"postUrl": url}, "topicName": "t"})
	}
	f.do(t, http.MethodPut, momento, put(good), nil).object(t, http.StatusOK)
	before := f.get(t, "/v1/webhooks?limit=100").body

	for _, d := range egresstest.Destinations("443") {
		if d.Refusal == "" {
			continue // a name: the next test
		}
		for name, request := range map[string]struct{ method, path, body, field string }{
			"create":           {http.MethodPost, "/v1/webhooks", body(map[string]any{"url": d.URL, "events": []string{"user.created"}}), "body.url"},
			"update":           {http.MethodPatch, "/v1/webhooks/" + standard, body(map[string]any{"url": d.URL}), "body.url"},
			"create, Momento":  {http.MethodPut, "/caches/c/webhooks/hostile", put(d.URL), "body.destination.postUrl"},
			"update, Momento":  {http.MethodPut, momento, put(d.URL), "body.destination.postUrl"},
			"create, Commenda": {http.MethodPost, "/webhooks", body(map[string]any{"url": d.URL, "topics": []string{"user.created"}}), "body.url"},
			"update, Commenda": {http.MethodPost, "/webhooks/" + commenda, body(map[string]any{"url": d.URL}), "body.url"},
		} {
			p := f.do(t, request.method, request.path, request.body, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
			require.Len(t, p.Errors, 1, "%s: %s", name, d.Name)
			require.Equal(t, request.field, p.Errors[0].Location, "%s: %s", name, d.Name)
			require.Contains(t, p.Errors[0].Message, d.Refusal, "%s: %s", name, d.Name)
		}
	}
	require.JSONEq(t, string(before), string(f.get(t, "/v1/webhooks?limit=100").body))
}

// A name is resolved when it is dialled, because it may have another address by then.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	guard, err := egress.New(egress.Config{})
	require.NoError(t, err)
	t.Cleanup(guard.Close)
	f := setup(t, func(d *api.Deps) { d.Destinations, d.Config.AllowHTTP = guard, true })
	id := f.newWebhook(t, "user.created")
	for _, d := range egresstest.Destinations("443") {
		if d.Refusal != "" {
			continue
		}
		text, err := json.Marshal(map[string]any{"url": d.URL})
		require.NoError(t, err)
		require.Equal(t, guard.CanonicalURL(d.URL), f.do(t, http.MethodPatch, "/v1/webhooks/"+id, string(text), nil).object(t, http.StatusOK)["url"])
	}
}
