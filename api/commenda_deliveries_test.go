package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// C7: the log of S12, with ids as UUIDs.
func TestListCommendaDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A", "B")
	path := "/webhooks/" + id + "/deliveries"
	require.Equal(t, map[string]any{"deliveries": []any{}, "next_cursor": nil}, f.get(t, path).object(t, http.StatusOK))
	events := []map[string]any{f.publishTo(t, "A"), f.publishTo(t, "B"), f.publishTo(t, "A")}
	f.post(t, "/webhooks/test/trigger/"+id, "").data(t, http.StatusOK, triggered)
	last, err := f.store.DeliveriesOfEvent(t.Context(), eventID(t, events[2]["id"]), 10)
	require.NoError(t, err)
	f.record(t, last[0], failure(500))
	f.record(t, last[0], timeout())
	f.exec(t, `update deliveries set next_attempt_at = now() + interval '1 hour' where next_attempt_at is not null`) // otherwise it shows as now, which depends on when it is read

	listed := f.get(t, path).list(t, "deliveries")
	require.Len(t, listed, 4)
	require.Equal(t, true, listed[0]["test"])
	require.Equal(t, []any{events[2]["id"], events[1]["id"], events[0]["id"]}, []any{listed[1]["event_id"], listed[2]["event_id"], listed[3]["event_id"]})
	d := listed[1]
	require.Equal(t, map[string]any{
		"id": last[0].ID.UUID(), "event_id": events[2]["id"], "webhook_id": id, "event_type": "A", "status": "failed", "status_code": 500.0,
		"attempts": 2.0, "error": "Connection timeout", "next_attempt_at": d["next_attempt_at"], "created_at": d["created_at"], "explanation": d["explanation"],
	}, d)

	// It equals the standard surface's log except for the ids.
	standard := f.get(t, "/v1/webhooks/"+id+"/deliveries").list(t, "deliveries")
	require.Len(t, standard, len(listed))
	for i, d := range standard {
		delivery, err := hook.ParseDeliveryID(d["id"].(string))
		require.NoError(t, err)
		d["id"], d["event_id"], d["webhook_id"] = delivery.UUID(), eventID(t, d["event_id"]).UUID(), uuid(t, d["webhook_id"].(string))
		require.Equal(t, d, listed[i])
	}

	all := ids(listed)
	require.Equal(t, all, f.pages(t, path, "deliveries", 1, 4))
	require.Equal(t, all, f.pages(t, path, "deliveries", 3, 4))
	for query, want := range map[string][]string{
		"status=failed":               {all[1]},
		"status=success":              {all[0]},
		"status=pending":              {all[2], all[3]},
		"event_type=B":                {all[2]},
		"event_type=C":                {},
		"since=2100-01-01T00:00:00Z":  {},
		"until=2100-01-01T00:00:00Z":  all,
		"status=pending&event_type=A": {all[3]},
	} {
		require.Equal(t, want, ids(f.get(t, path+"?"+query).list(t, "deliveries")), query)
	}
	f.get(t, path+"?cursor=x").problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.get(t, path+"?status=x").problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	f.get(t, path+"?event_type=%20A").refused(t, "query.event_type", "surrounding spaces")
}
