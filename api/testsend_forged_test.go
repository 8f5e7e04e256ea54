package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// No client can have an operational event sent that has not happened.
func TestTestsSendNoOperationalEvents(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, eventType := range []string{hook.TypeWebhookDisabled, hook.TypeWebhookRecovered, hook.TypeDeliveryFailed} {
		for _, profile := range []string{"standard", "commenda"} {
			own := f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["`+eventType+`","project.created"],"profile":"`+profile+`"}`).object(t, http.StatusCreated)["id"].(string)
			f.post(t, "/v1/webhooks/"+own+"/test", `{"type":"`+eventType+`"}`).refused(t, "body.type", "operational")
			require.Equal(t, "project.created", f.post(t, "/v1/webhooks/"+own+"/test", "").object(t, http.StatusOK)["event_type"])
			if profile == "commenda" {
				f.post(t, "/webhooks/test/trigger/"+own, `{"topic":"`+eventType+`"}`).refused(t, "body.topic", "operational")
			}
		}
		only := f.newWebhook(t, eventType)
		require.Equal(t, "user.created", f.post(t, "/v1/webhooks/"+only+"/test", "").object(t, http.StatusOK)["event_type"], "a test of what gets no others")
	}
	for _, d := range f.sender.sent {
		require.False(t, hook.IsOperational(d.EventType))
	}
	// A topic of a cache may have such a name, because it is no event type.
	f.put(t, "own", "translator", hook.TypeWebhookDisabled)
	topic := f.get(t, "/v1/webhooks?profile=momento").list(t, "webhooks")[0]["id"].(string)
	f.post(t, "/v1/webhooks/"+topic+"/test", "").object(t, http.StatusOK)
}

// Data of the caller's choice is signed with the account's key only if the caller may publish.
func TestWhoMayHaveDataSignedForTheAccount(t *testing.T) {
	t.Parallel()
	f := setup(t)
	manager := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeWebhooks))
	publisher := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeWebhooks, hook.ScopePublish))
	create := func(schemes string) string {
		return f.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":["user.created"],"signature_schemes":`+schemes+`}`).object(t, http.StatusCreated)["id"].(string)
	}
	plain, account := create(`["v1"]`), create(`["v1","v1a"]`)
	const forged = `{"data":{"id":"forged"}}`
	p := manager.post(t, "/v1/webhooks/"+account+"/test", forged).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Contains(t, p.Detail, "publish")
	manager.post(t, "/v1/webhooks/"+account+"/test", `{"data":null}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Empty(t, f.sender.sent)
	manager.post(t, "/v1/webhooks/"+account+"/test", "").object(t, http.StatusOK)
	publisher.post(t, "/v1/webhooks/"+account+"/test", forged).object(t, http.StatusOK)
	f.post(t, "/v1/webhooks/"+account+"/test", forged).object(t, http.StatusOK)

	// A test that was sent without that signature does not get it in a retry.
	d := manager.post(t, "/v1/webhooks/"+plain+"/test", forged).object(t, http.StatusOK)["id"].(string)
	manager.post(t, "/v1/deliveries/"+d+"/retry", "").object(t, http.StatusOK)
	manager.do(t, http.MethodPatch, "/v1/webhooks/"+plain, `{"signature_schemes":["v1a"]}`, nil).object(t, http.StatusOK)
	manager.post(t, "/v1/deliveries/"+d+"/retry", "").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	publisher.post(t, "/v1/deliveries/"+d+"/retry", "").object(t, http.StatusOK)
	// Published events may be retried by every key with the scope.
	real := f.deliver(t, account)
	manager.post(t, "/v1/deliveries/"+real+"/retry", "").object(t, http.StatusOK)
}
