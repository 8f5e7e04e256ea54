package storage_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// told returns the types and data of the operational events for the webhook, oldest first.
func (f *fixture) told(t *testing.T, w hook.Webhook) (types []string, data []map[string]any) {
	t.Helper()
	list, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{}, hook.Page{Limit: 100})
	require.NoError(t, err)
	for i := len(list) - 1; i >= 0; i-- {
		e, err := f.Event(t.Context(), w.TenantID, list[i].EventID)
		require.NoError(t, err)
		canonical, err := canonjson.Canonicalize(e.Data)
		require.NoError(t, err)
		require.Equal(t, string(canonical), string(e.Data))
		var object map[string]any
		require.NoError(t, json.Unmarshal(e.Data, &object))
		types, data = append(types, e.Type), append(data, object)
	}
	return types, data
}

// operational makes a webhook that subscribes to operational events.
func (f *fixture) operational(t *testing.T, change ...func(*hook.Webhook)) hook.Webhook {
	t.Helper()
	return f.webhook(t, append([]func(*hook.Webhook){events(hook.TypeDeliveryFailed, hook.TypeWebhookDisabled, hook.TypeWebhookRecovered)}, change...)...)
}

// fail fails a delivery for good.
func (f *fixture) fail(t *testing.T, id hook.DeliveryID) hook.Delivery {
	t.Helper()
	var d hook.Delivery
	for range hook.MaxAttempts {
		d = f.attempt(t, id, answered(500))
	}
	require.Equal(t, hook.StateFailed, d.State)
	require.False(t, d.Outstanding())
	return d
}

// A delivery that has failed for good publishes an operational event to the tenant's webhooks that name its type,
// in the same transaction, and starts it at once.
func TestFailedDeliveriesAreTold(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, ops := f.webhook(t), f.operational(t)
	everything := f.webhook(t, events("*", "delivery.*"))
	stranger := f.operational(t, ofTenant(f.tenant(t, "other")))
	idle := f.operational(t, inactive)
	id := f.delivery(t, w)
	f.attempt(t, id, answered(500))
	types, _ := f.told(t, ops)
	require.Empty(t, types, "attempts are to come")
	var started []hook.Start
	for range hook.MaxAttempts - 1 {
		job, err := f.Job(t.Context(), id)
		require.NoError(t, err)
		recorded, err := f.Record(t.Context(), []hook.Record{storagetest.RecordOf(&job, answered(500))})
		require.NoError(t, err)
		started = append(started, recorded.Starts...)
	}

	d := f.read(t, id)
	types, data := f.told(t, ops)
	require.Equal(t, []string{"delivery.failed"}, types)
	require.Equal(t, map[string]any{
		"delivery_id": id.String(), "event_id": d.EventID.String(), "event_type": "user.created", "webhook_id": w.ID.String(),
		"status": "failed", "attempts": 5.0, "status_code": 500.0, "error": "HTTP 500 Internal Server Error",
		"created_at": d.CreatedAt.UTC().Format(time.RFC3339), "failed_at": d.UpdatedAt.UTC().Format(time.RFC3339),
	}, data[0])
	for _, other := range []hook.Webhook{stranger, idle} {
		types, _ = f.told(t, other)
		require.Empty(t, types)
	}
	types, _ = f.told(t, everything)
	require.Equal(t, []string{"user.created"}, types, "patterns do not match it")
	require.Len(t, started, 1)
	require.Equal(t, "delivery.failed", started[0].EventType)
	require.Equal(t, 1, started[0].Deliveries)
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from outbox where event_id = $1`, [16]byte(started[0].EventID)), "durable before it is started")

	// A failed retry by hand of a failed delivery publishes no event; neither does a test.
	f.attempt(t, id, byHand(answered(500)))
	// Recording again, because an answer was lost, publishes nothing again.
	job, err := f.Job(t.Context(), f.delivery(t, w))
	require.NoError(t, err)
	job.Delivery.Scheduled = 4
	record := storagetest.RecordOf(&job, answered(500))
	f.record(t, record)
	f.record(t, record)
	types, _ = f.told(t, ops)
	require.Len(t, types, 2)
}

// An operational event that could not be delivered publishes no event.
func TestOperationalEventsAreNotRecursive(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, ops := f.webhook(t), f.operational(t)
	f.fail(t, f.delivery(t, w))
	list, _, err := f.Deliveries(t.Context(), ops.ID, hook.DeliveryFilter{}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)
	f.fail(t, list[0].ID)
	types, _ := f.told(t, ops)
	require.Equal(t, []string{"delivery.failed"}, types)
}

// An operational event without a subscriber is not stored.
func TestOperationalEventsThatNobodyWants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.operational(t, inactive)
	f.fail(t, f.delivery(t, w))
	require.Zero(t, scalar[int](t, f, `select count(*) from events where type = 'delivery.failed'`))
}

// Spec 9, S14: disabling a webhook publishes its reason once. It publishes nothing if a client did it.
func TestDisabledWebhooksAreTold(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ops := f.operational(t)
	gone, days, strict, byClient := f.webhook(t), f.webhook(t), f.webhook(t), f.webhook(t)
	f.attempt(t, f.delivery(t, gone), answered(410))

	f.attempt(t, f.delivery(t, days), answered(500))
	f.failingFor(t, days, "6 days")
	f.attempt(t, f.delivery(t, days), answered(500))

	job, err := f.Job(t.Context(), f.delivery(t, strict))
	require.NoError(t, err)
	job.Webhook.MaxAttempts = 1
	r := storagetest.RecordOf(&job, answered(500))
	r.Verdict.Disable = hook.ReasonFailedFinal
	f.record(t, r)

	_, err = f.UpdateWebhook(t.Context(), hook.DefaultTenant(), byClient.ID, func(w *hook.Webhook) error {
		inactive(w)
		return nil
	})
	require.NoError(t, err)

	types, data := f.told(t, ops)
	reasons := map[any]any{}
	for i := range types {
		if types[i] == hook.TypeWebhookDisabled {
			require.Equal(t, "example.com", data[i]["host"])
			require.NotEmpty(t, data[i]["disabled_at"])
			reasons[data[i]["webhook_id"]] = data[i]["reason"]
		}
	}
	require.Equal(t, map[any]any{
		gone.ID.String(): hook.ReasonGone, days.ID.String(): hook.ReasonFailedDays, strict.ID.String(): hook.ReasonFailedFinal,
	}, reasons)
}

// A webhook recovers only if a delivery has failed for good; one that was only failing publishes nothing.
func TestRecoveredWebhooksAreTold(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, ops := f.webhook(t), f.operational(t, events(hook.TypeWebhookRecovered))
	f.attempt(t, f.delivery(t, w), answered(500))
	f.attempt(t, f.delivery(t, w), answered(200))
	types, _ := f.told(t, ops)
	require.Empty(t, types)
	f.fail(t, f.delivery(t, w))
	f.attempt(t, f.delivery(t, w), answered(200))
	f.attempt(t, f.delivery(t, w), answered(200))
	types, data := f.told(t, ops)
	require.Equal(t, []string{"webhook.recovered"}, types)
	require.Equal(t, w.ID.String(), data[0]["webhook_id"])
	require.NotEmpty(t, data[0]["failing_since"])
	require.NotEmpty(t, data[0]["recovered_at"])
}

// Deferred deliveries that expired, and messages that timed out or were dropped, have failed as well.
func TestOtherEndsAreTold(t *testing.T) {
	t.Parallel()
	f, c := counted(t)
	w, ops := f.webhook(t), f.operational(t)
	old := f.delivery(t, w)
	require.NoError(t, f.Defer(t.Context(), []hook.DeliveryID{old}, []hook.WebhookID{w.ID}))
	f.exec(t, `update deliveries set created_at = now() - interval '2 days' where id = $1`, [16]byte(old))
	_, err := f.ExpireDeferred(t.Context(), w.ID, hook.DeferredFor, 10)
	require.NoError(t, err)

	claimed := f.delivery(t, w)
	_, err = f.ClaimDeliveries(t.Context(), wanted(t, f.Store, claimed), hook.Claim{1})
	require.NoError(t, err)
	dropped, err := f.DropDeliveries(t.Context(), []hook.DeliveryID{claimed}, 0)
	require.NoError(t, err)
	require.Equal(t, []hook.DeliveryID{claimed}, dropped.Deliveries)

	_, data := f.told(t, ops)
	require.Equal(t, "Endpoint unavailable", data[0]["error"])
	require.Equal(t, old.String(), data[0]["delivery_id"])
	require.NotContains(t, data[0], "status_code")
	require.Equal(t, "dropped", data[1]["status"])
	require.Equal(t, claimed.String(), data[1]["delivery_id"])
	var operational int
	for _, p := range c.published {
		operational += p.Operational
	}
	require.Equal(t, 2, operational)
}
