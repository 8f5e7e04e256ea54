package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// A list leaves out events that hook.Matches does not match, however the patterns are written.
func TestListsLeaveOutWhatMayNotBeRead(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("*", "a.%", "webhook.disabled"))
	types := []string{"user", "user.created", "user.a.b", "users.created", "a.b", "a_b.c", "file.uploaded"}
	for _, eventType := range append(types, hook.TypeWebhookDisabled) {
		_, err := f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: eventType, Data: eventData()})
		require.NoError(t, err)
	}
	for _, topics := range [][]string{
		{"*"}, {"user.*"}, {"user"}, {"user.a.*", "file.uploaded"}, {"a_b.*"}, {"webhook.*"}, {"webhook.disabled"}, {"nothing"}, {"%"}, {"user.%"},
	} {
		may := hook.Readable{Topics: topics}
		var want []string
		for _, eventType := range append(types, hook.TypeWebhookDisabled) {
			if hook.Matches(topics, eventType) {
				want = append(want, eventType)
			}
		}
		page := hook.Page{Limit: 100}
		listed, _, err := f.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), hook.EventFilter{May: may}, page)
		require.NoError(t, err)
		var got []string
		for _, e := range listed {
			got = append(got, e.Type)
		}
		require.ElementsMatch(t, want, got, "events of %v", topics)
		deliveries, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{May: may}, page)
		require.NoError(t, err)
		got = nil
		for _, d := range deliveries {
			got = append(got, d.EventType)
		}
		require.ElementsMatch(t, want, got, "deliveries of %v", topics)
		_, _, err = f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{May: may, EventType: "user.created", State: hook.StateFailed}, page)
		require.NoError(t, err, "with other filters")
	}
}
