package hook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

// S11, spec 2: a test sends a canonical JSON object.
func TestSampleDataIsCanonical(t *testing.T) {
	t.Parallel()
	types := []string{"order.paid", "a topic", ""}
	for _, e := range hook.BuiltInEventTypes() {
		types = append(types, e.Name)
	}
	for _, eventType := range types {
		data := hook.SampleData(eventType)
		canonical, err := canonjson.Canonicalize(data)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(data), eventType)
		var object map[string]any
		require.NoError(t, json.Unmarshal(data, &object))
		require.NotEmpty(t, object)
	}
	require.JSONEq(t, `{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}`,
		string(hook.SampleData("user.created")), "the seed's payload")
}

// S11: a test has one of the webhook's types.
func TestSampleType(t *testing.T) {
	t.Parallel()
	for want, events := range map[string][]string{
		"payment.failed": {"payment.failed", "user.created"},
		"order.paid":     {"*", "order.*", "order.paid"},
		"user.created":   {"*"},
		"file.uploaded":  {"zzz.*", "file.*"},
		"zzz.test":       {"zzz.*", "yyy.*"},
		"a topic":        {"a topic"},
		"b.done":         {"webhook.disabled", "b.done"}, // never an operational type
	} {
		got := hook.SampleType(&hook.Webhook{Events: events})
		require.Equal(t, want, got)
		require.True(t, hook.Matches(events, got), "the webhook gets it")
	}
	require.Equal(t, "user.created", hook.SampleType(&hook.Webhook{Events: []string{"webhook.disabled", "delivery.failed"}}))
	require.Equal(t, "webhook.disabled", hook.SampleType(&hook.Webhook{Profile: hook.ProfileMomento, Events: []string{"webhook.disabled"}}))
}
