package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Header values given for one receiver are not sent to another.
func TestHeadersStayWithTheirReceiver(t *testing.T) {
	t.Parallel()
	f := setup(t)
	create := func(profile string) string {
		body := `{"url":"https://yourapp.com/webhook","events":["user.created"],"profile":"` + profile + `","headers":{"X-Team":"acme","Authorization":"Bearer hunter2"}}`
		return f.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)["id"].(string)
	}
	id := create("standard")
	patch := func(body string) answer { return f.do(t, http.MethodPatch, "/v1/webhooks/"+id, body, nil) }
	for name, url := range map[string]string{
		"scheme": "http://yourapp.com/webhook", "host": "https://evil.example/webhook", "port": "https://yourapp.com:8443/webhook",
		"sub-domain": "https://www.yourapp.com/webhook",
	} {
		a := patch(`{"url":"` + url + `"}`)
		a.refused(t, "body.headers", "Authorization, X-Team were given for https://yourapp.com")
		require.NotContains(t, string(a.body), "hunter2", name)
		require.Equal(t, "https://yourapp.com/webhook", f.get(t, "/v1/webhooks/"+id).object(t, http.StatusOK)["url"], name)
	}
	for _, url := range []string{
		"https://yourapp.com/other?a=b", "https://yourapp.com:443/webhook", "https://YOURAPP.com/webhook", "https://yourapp.com/webhook",
	} {
		patch(`{"url":"`+url+`"}`).object(t, http.StatusOK)
	}
	patch(`{"url":"https://evil.example/a","headers":{"X-Team":"other"}}`).object(t, http.StatusOK)
	require.Equal(t, map[string]hook.Secret{"X-Team": "other"}, f.stored(t, "/v1/webhooks/"+id).Headers)
	patch(`{"url":"https://other.example/a","headers":{}}`).object(t, http.StatusOK)
	patch(`{"url":"https://yourapp.com/a"}`).object(t, http.StatusOK)

	// The other surfaces have no headers, so they can't move a webhook that has some.
	id = create("commenda")
	f.post(t, "/webhooks/"+id, `{"url":"https://evil.example/webhook"}`).refused(t, "body.url", "X-Team")
	f.post(t, "/webhooks/"+id, `{"url":"https://yourapp.com/other"}`).object(t, http.StatusOK)

	f.put(t, "chat", "translator", "nuts")
	topic := f.get(t, "/v1/webhooks?profile=momento").list(t, "webhooks")[0]
	f.do(t, http.MethodPatch, "/v1/webhooks/"+topic["id"].(string), `{"headers":{"X-Team":"acme"}}`, nil).object(t, http.StatusOK)
	f.put(t, "chat", "translator", "squirrels")
	f.do(t, http.MethodPut, named("chat", "translator"), `{"destination":{"postUrl":"https://evil.example/"},"topicName":"nuts"}`, nil).
		refused(t, "body.destination.postUrl", "X-Team")
}

// The *** that answers show in place of a header's value is refused as a value.
func TestShownHeaderValuesAreNoValues(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const body = `{"url":"https://yourapp.com/webhook","events":["user.created"],"headers":{"X-Team":"***"}}`
	f.post(t, "/v1/webhooks", body).refused(t, "body.headers.X-Team", "not shown")
	id := f.newWebhook(t, "user.created")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"headers":{"X-Team":"***"}}`, nil).refused(t, "body.headers.X-Team", "not shown")
}
