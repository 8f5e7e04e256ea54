package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// M10: the same log as S12, with the same filters and pages.
func TestMomentoDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, "chat", "translator", "mo-nuts")
	f.put(t, "chat", "other", "mo-nuts")
	path := named("chat", "translator") + "/deliveries"
	require.Equal(t, map[string]any{"deliveries": []any{}, "next_cursor": nil}, f.get(t, path).object(t, http.StatusOK))
	for _, text := range []string{"one", "two", "three"} {
		f.say(t, "chat", "mo-nuts", text)
	}
	f.exec(t, `update deliveries set next_attempt_at = now() + interval '1 hour' where next_attempt_at is not null`) // otherwise it shows as now, which depends on when it is read
	id := value[[16]byte](t, f, `select id from webhooks where name = 'translator'`)
	v1 := "/v1/webhooks/" + hook.WebhookID(id).String() + "/deliveries"
	for _, query := range []string{
		"", "?limit=2", "?status=pending", "?status=success", "?event_type=mo-nuts", "?event_type=other",
		"?since=2020-01-01T00:00:00Z", "?until=2020-01-01T00:00:00Z",
	} {
		a := f.get(t, path+query)
		require.Equal(t, http.StatusOK, a.status, query)
		require.JSONEq(t, string(f.get(t, v1+query).body), string(a.body), query)
	}
	require.Len(t, f.get(t, path).list(t, "deliveries"), 3)
	first := f.get(t, path+"?limit=2").object(t, http.StatusOK)
	rest := f.get(t, path+"?limit=2&cursor="+first["next_cursor"].(string)).object(t, http.StatusOK)
	require.Len(t, rest["deliveries"], 1)
	require.Nil(t, rest["next_cursor"])

	// The outcome of an attempt.
	deliveries, _, err := f.store.Deliveries(t.Context(), id, hook.DeliveryFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	f.record(t, deliveries[0], failure(http.StatusInternalServerError))
	newest := f.get(t, path).list(t, "deliveries")[0]
	require.Equal(t, []any{"failed", 500.0, 1.0}, []any{newest["status"], newest["status_code"], newest["attempts"]})
	require.NotContains(t, newest, "next_attempt_at")

	for query, at := range map[string]string{"?status=unknown": "query.status", "?limit=0": "query.limit", "?since=x": "query.since", "?x=1": "query.x"} {
		require.NotEmpty(t, f.get(t, path+query).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, at))
	}
	f.get(t, path+"?cursor=x").problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.get(t, named("chat", "unknown")+"/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")
}
