package storage_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// An id is found with its tenant among the things of that tenant or of all, and not among another tenant's.
func TestFind(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme, other := f.customer(t, "acme"), f.customer(t, "other")
	w := f.webhook(t, ofTenant(acme), events("user.created"))
	gone := f.webhook(t, ofTenant(acme), func(w *hook.Webhook) {
		w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, "chat", "translator", []string{"room"}
	})
	require.NoError(t, f.DeleteWebhook(t.Context(), acme, gone.ID))
	accepted, err := f.Publish(t.Context(), hook.Publication{TenantID: acme, Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	d, err := f.DeliveriesOfEvent(t.Context(), accepted.Event.ID, 10)
	require.NoError(t, err)
	require.Len(t, d, 1)
	replay, err := f.CreateReplay(t.Context(), hook.Replay{TenantID: acme, WebhookID: w.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 5})
	require.NoError(t, err)
	for _, want := range []hook.Thing{
		{ThingID: hook.ThingID{Kind: hook.ThingDelivery, ID: d[0].ID}, TenantID: acme, Topic: "user.created"},
		{ThingID: hook.ThingID{Kind: hook.ThingEvent, ID: accepted.Event.ID}, TenantID: acme, Topic: "user.created"},
		{ThingID: hook.ThingID{Kind: hook.ThingWebhook, ID: w.ID}, TenantID: acme},
		{ThingID: hook.ThingID{Kind: hook.ThingWebhook, ID: gone.ID}, TenantID: acme, Cache: "chat"},
		{ThingID: hook.ThingID{Kind: hook.ThingReplay, ID: replay.ID}, TenantID: acme},
		{ThingID: hook.ThingID{Kind: hook.ThingTenant, ID: acme}, TenantID: acme},
	} {
		for _, of := range []hook.TenantFilter{everyTenant(), hook.OneTenant(acme)} {
			got, err := f.Find(t.Context(), of, want.ThingID)
			require.NoError(t, err, want.String())
			require.Equal(t, want, got)
		}
		_, err := f.Find(t.Context(), hook.OneTenant(other), want.ThingID)
		require.Equal(t, hook.KindNotFound, hook.KindOf(err), want.String())
		_, err = f.Find(t.Context(), everyTenant(), hook.ThingID{Kind: want.Kind, ID: [16]byte{15: 7}})
		require.Equal(t, hook.KindNotFound, hook.KindOf(err), want.String())
	}
	_, err = f.Find(t.Context(), everyTenant(), hook.ThingID{ID: w.ID})
	require.Equal(t, hook.KindNotFound, hook.KindOf(err), "a kind that there is not")
}

// A look-up reads one row by its id, whichever the kind.
func TestFindReadsOneRow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, events("user.created"))
	for range 20 {
		f.publish(t, "user.created")
	}
	id := f.delivery(t, w)
	event := f.read(t, id).EventID
	f.exec(t, `analyze events, deliveries`)
	for kind, id := range map[hook.ThingKind][16]byte{hook.ThingDelivery: id, hook.ThingEvent: event} {
		plan := explain(t, f, storage.Statement{SQL: storage.FindSQL(kind), Args: pgx.StrictNamedArgs{"id": id, "tenant_id": [16]byte{}, "all": true}})
		require.LessOrEqual(t, plan.read(), 2.0, kind)
		require.NotContains(t, plan.types(), "Seq Scan", kind)
	}
}
