package storage_test

import (
	"crypto/sha256"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 7: a publish that relies on cached look-ups is stored only if they still hold, whichever process has
// changed them.
func TestPublishOnPreconditions(t *testing.T) {
	t.Parallel()
	const text = hook.Secret("grk_known")
	object := []byte(`{"type":"object"}`)
	schema := hook.SchemaHash(sha256.Sum256(object))
	// setup returns a store with the key and two types.
	setup := func(t *testing.T) *fixture {
		t.Helper()
		f := setup(t)
		f.webhook(t, events("*"))
		_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopePublish}}, text)
		require.NoError(t, err)
		for _, eventType := range []hook.NewEventType{{Name: "order.made"}, {Name: "invoice.paid", Schema: object}} {
			_, _, err = f.PutEventType(t.Context(), hook.DefaultTenant(), eventType)
			require.NoError(t, err)
		}
		return f
	}
	known := hook.Preconditions{Key: hook.HashKey(text)}
	listed := hook.Preconditions{Key: hook.HashKey(text), Listed: true}
	withSchema := hook.Preconditions{Key: hook.HashKey(text), Listed: true, Schema: schema}

	for name, c := range map[string]struct {
		eventType        string
		preconditionArgs hook.Preconditions
		change           string // SQL, run as another process would
	}{
		"key unknown":        {"user.created", hook.Preconditions{Key: hook.HashKey("grk_other")}, ``},
		"key revoked":        {"user.created", known, `update api_keys set revoked_at = now()`},
		"key expired":        {"user.created", known, `update api_keys set expires_at = now() - interval '1 ms'`},
		"key of another":     {"user.created", known, `update api_keys set tenant_id = (select id from tenants where name = 'other')`},
		"type not listed":    {"order.lost", listed, ``},
		"of another tenant":  {"order.made", listed, `update event_types set tenant_id = (select id from tenants where name = 'other')`},
		"type has a schema":  {"invoice.paid", listed, ``},
		"type has none":      {"order.made", withSchema, ``},
		"schema has changed": {"invoice.paid", withSchema, `update event_types set schema = 'true' where name = 'invoice.paid'`},
		"schema has gone":    {"invoice.paid", withSchema, `update event_types set schema = null where name = 'invoice.paid'`},
	} {
		for _, key := range []string{"", "order-1"} {
			t.Run(name+key, func(t *testing.T) {
				t.Parallel()
				f := setup(t)
				f.tenant(t, "other")
				p := hook.Publication{TenantID: hook.DefaultTenant(), Type: c.eventType, Data: eventData(), IdempotencyKey: key, Preconditions: c.preconditionArgs}
				neighbour := hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: eventData()}
				if c.change != "" {
					_, err := f.Publish(t.Context(), p)
					require.NoError(t, err)
					f.exec(t, c.change)
				}
				before := scalar[int](t, f, `select (select count(*) from events) + (select count(*) from deliveries) + (select count(*) from outbox)`)
				accepted, errs := f.PublishAll(t.Context(), []hook.Publication{neighbour, p, neighbour})
				require.Equal(t, hook.KindPrecondition, hook.KindOf(errs[1]), errs[1])
				require.Zero(t, accepted[1].Event.ID)
				require.NoError(t, errs[0])
				require.NoError(t, errs[2])
				require.Equal(t, 1, accepted[2].Event.Deliveries)
				require.Equal(t, before+6, scalar[int](t, f, `select (select count(*) from events) + (select count(*) from deliveries) + (select count(*) from outbox)`))
				if key != "" && c.change == "" {
					p.Preconditions = hook.Preconditions{}
					a, err := f.Publish(t.Context(), p)
					require.NoError(t, err)
					require.False(t, a.Duplicate, "its idempotency key was not taken")
				}
			})
		}
	}
	f := setup(t)
	for eventType, preconditionArgs := range map[string]hook.Preconditions{"user.created": known, "order.made": listed, "invoice.paid": withSchema} {
		a, err := f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: eventType, Data: eventData(), Preconditions: preconditionArgs})
		require.NoError(t, err, eventType)
		require.Equal(t, 1, a.Event.Deliveries)
	}
}

// A look-up is cached, and removed when it turns out to be wrong.
func TestPublishCache(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const text = hook.Secret("grk_known")
	k, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopePublish}}, text)
	require.NoError(t, err)
	_, _, err = f.PutEventType(t.Context(), hook.DefaultTenant(), hook.NewEventType{Name: "order.made"})
	require.NoError(t, err)
	known := func() (key, eventType bool) {
		found, key := f.CachedKey(hook.HashKey(text))
		require.True(t, !key || found.ID == k.ID)
		hash, eventType := f.CachedEventType(hook.DefaultTenant(), "order.made")
		require.Zero(t, hash)
		return key, eventType
	}
	key, eventType := known()
	require.False(t, key || eventType, "nothing was looked up")

	_, err = f.Authenticate(t.Context(), hook.HashKey(text), "")
	require.NoError(t, err)
	_, _, err = f.LookUpEventTypes(t.Context(), hook.DefaultTenant(), []string{"order.made", "order.lost"})
	require.NoError(t, err)
	key, eventType = known()
	require.True(t, key && eventType)
	_, ok := f.CachedEventType(hook.DefaultTenant(), "order.lost")
	require.False(t, ok, "it is no type")
	_, ok = f.CachedEventType(f.tenant(t, "other"), "order.made")
	require.False(t, ok)

	require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), k.ID, hook.RankTenant))
	_, err = f.Publish(t.Context(), hook.Publication{
		TenantID: hook.DefaultTenant(), Type: "order.made", Data: eventData(), Preconditions: hook.Preconditions{Key: hook.HashKey(text), Listed: true},
	})
	require.Equal(t, hook.KindPrecondition, hook.KindOf(err))
	key, eventType = known()
	require.False(t, key || eventType)
}
