package storage_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// share puts a type for all tenants.
func (f *fixture) share(t *testing.T, name, schema string) {
	t.Helper()
	put := hook.NewEventType{Name: name, Shared: true}
	if schema != "" {
		put.Schema = []byte(schema)
	}
	_, _, err := f.PutEventType(t.Context(), hook.DefaultTenant(), put)
	require.NoError(t, err)
}

// own puts a type of one tenant.
func (f *fixture) own(t *testing.T, tenant hook.TenantID, name, schema string) error {
	t.Helper()
	put := hook.NewEventType{Name: name}
	if schema != "" {
		put.Schema = []byte(schema)
	}
	_, _, err := f.PutEventType(t.Context(), tenant, put)
	return err
}

// K6: a tenant's catalogue has the shared types and its own, which go before, page by page in the order of names.
func TestCatalogueHasSharedTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	for _, name := range []string{"a", "c", "e", "g"} {
		require.NoError(t, f.own(t, acme, name, ""))
	}
	for _, name := range []string{"b", "c", "d", "g", "h"} {
		f.share(t, name, `{"title":"`+name+`"}`)
	}
	require.NoError(t, f.own(t, hook.DefaultTenant(), "z", ""))
	require.NoError(t, f.own(t, f.customer(t, "other"), "y", ""))
	for limit := 1; limit <= 9; limit++ {
		var names []string
		p := hook.NamePage{Limit: limit, Bytes: 1 << 20}
		for more := true; more; {
			var types []hook.EventType
			var err error
			types, more, err = f.EventTypes(t.Context(), acme, hook.EventTypeFilter{}, p)
			require.NoError(t, err)
			for _, e := range types {
				name := e.Name
				if e.Shared {
					name = strings.ToUpper(name)
				}
				names, p.After = append(names, name), e.Name
			}
		}
		require.Equal(t, []string{"a", "B", "c", "D", "e", "g", "H"}, names, limit)
	}
	list, err := f.EventTypeNames(t.Context(), acme)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b", "c", "d", "e", "g", "h"}, list)
	for name, shared := range map[string]bool{"b": true, "c": false} {
		e, err := f.EventType(t.Context(), acme, name)
		require.NoError(t, err)
		require.Equal(t, shared, e.Shared)
		require.Equal(t, shared, e.Schema != nil)
	}
	unknown, schemas, err := f.LookUpEventTypes(t.Context(), acme, []string{"a", "b", "c", "z", "y"})
	require.NoError(t, err)
	require.Equal(t, []string{"z", "y"}, unknown)
	require.Equal(t, map[string]hook.SchemaHash{"b": sha256.Sum256([]byte(`{"title":"b"}`))}, schemas)
	types, _, err := f.EventTypes(t.Context(), hook.DefaultTenant(), hook.EventTypeFilter{}, hook.NamePage{Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Len(t, types, 6, "the shared ones once, and its own")
}

// K6: authentication reports the schemas of shared types, too.
func TestAuthenticateReportsSharedSchemas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	text := secrets.NewAPIKey()
	_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: f.customer(t, "acme"), Name: "k", Scopes: hook.Scopes()}, text)
	require.NoError(t, err)
	for _, schema := range []string{"", "true", ""} {
		f.share(t, "order.made", schema)
		found, err := f.Authenticate(t.Context(), hook.HashKey(text), "")
		require.NoError(t, err)
		require.Equal(t, schema != "", found.Schemas)
		require.Nil(t, found.PublishRate)
	}
}

// K6: a publish that relies on a cached type is stored only if that is what the tenant means by the name: its own type,
// or else the shared one.
func TestPublishOnSharedTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme, other := f.customer(t, "acme"), f.customer(t, "other")
	f.share(t, "shared", `{"title":"shared"}`)
	require.NoError(t, f.own(t, acme, "own", `{"title":"own"}`))
	f.exec(t, `insert into event_types (tenant_id, name, schema) values ($1, 'both', '{"title":"own"}'), ($2, 'both', null)`, [16]byte(acme), [16]byte(hook.DefaultTenant()))
	f.exec(t, `update event_types set shared = true where name = 'both' and tenant_id = $1`, [16]byte(hook.DefaultTenant()))
	require.NoError(t, f.own(t, hook.DefaultTenant(), "default", ""))
	hash := func(title string) hook.SchemaHash {
		if title == "" {
			return hook.SchemaHash{}
		}
		return sha256.Sum256([]byte(`{"title":"` + title + `"}`))
	}
	for _, c := range []struct {
		tenant hook.TenantID
		name   string
		title  string
		stored bool
	}{
		{acme, "shared", "shared", true},
		{acme, "shared", "", false},
		{acme, "shared", "own", false},
		{other, "shared", "shared", true},
		{hook.DefaultTenant(), "shared", "shared", true},
		{acme, "own", "own", true},
		{other, "own", "own", false},
		{acme, "both", "own", true},
		{acme, "both", "", false},
		{other, "both", "", true},
		{other, "both", "own", false},
		{hook.DefaultTenant(), "both", "", true},
		{hook.DefaultTenant(), "default", "", true},
		{acme, "default", "", false},
	} {
		for _, key := range []string{"", fmt.Sprint(c)} {
			_, err := f.Publish(t.Context(), hook.Publication{
				TenantID: c.tenant, Type: c.name, Data: eventData(), IdempotencyKey: key, Preconditions: hook.Preconditions{Listed: true, Schema: hash(c.title)},
			})
			if c.stored {
				require.NoError(t, err, "%+v", c)
			} else {
				requireKind(t, hook.KindPrecondition, err)
			}
		}
	}
}

// All tenants have one entry of a shared type in the publish cache, so many tenants don't drive each other out of it.
func TestSharedTypesAreCachedOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme, other := f.customer(t, "acme"), f.customer(t, "other")
	f.share(t, "order.made", `true`)
	want := hook.SchemaHash(sha256.Sum256([]byte(`true`)))
	_, _, err := f.LookUpEventTypes(t.Context(), acme, []string{"order.made"})
	require.NoError(t, err)
	for _, tenant := range []hook.TenantID{acme, other, hook.DefaultTenant()} {
		hash, ok := f.CachedEventType(tenant, "order.made")
		require.True(t, ok)
		require.Equal(t, want, hash)
	}
	f.share(t, "order.made", `false`)
	_, err = f.Publish(t.Context(), hook.Publication{TenantID: other, Type: "order.made", Data: eventData(), Preconditions: hook.Preconditions{Listed: true, Schema: want}})
	requireKind(t, hook.KindPrecondition, err)
	_, ok := f.CachedEventType(acme, "order.made")
	require.False(t, ok, "what turned out to be wrong is forgotten for all")
}

// K6: no tenant adds a name of its own while it becomes shared, and no copy that is the same is left.
func TestSharingAndAddingTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenants := make([]hook.TenantID, 6)
	for i := range tenants {
		tenants[i] = f.customer(t, fmt.Sprint("t", i))
	}
	for round := range 5 {
		name := fmt.Sprintf("order.n%d", round)
		var g errgroup.Group
		for i, tenant := range tenants {
			put := hook.NewEventType{Name: name}
			if i%2 == 1 {
				put.Description = new("other")
			}
			g.Go(func() error {
				_, _, err := f.PutEventType(t.Context(), tenant, put)
				if hook.KindOf(err) == hook.KindShared {
					return nil
				}
				return err
			})
		}
		g.Go(func() error {
			_, _, err := f.PutEventType(t.Context(), hook.DefaultTenant(), hook.NewEventType{Name: name, Shared: true})
			return err
		})
		require.NoError(t, g.Wait())
		require.Equal(t, 1, scalar[int](t, f, `select count(*) from event_types where name = $1 and description = ''`, name), "the shared one")
	}
}

// K6: a webhook that is being created and the deletion of a type to which it subscribes: one of them is refused.
func TestSubscribingAndDeletingTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.customer(t, "acme")
	refusals := map[bool]int{}
	for round := range 20 {
		name, shared := fmt.Sprintf("order.n%d", round), round%2 == 0
		of := acme
		if shared {
			f.share(t, name, "")
			of = hook.DefaultTenant()
		} else {
			require.NoError(t, f.own(t, acme, name, ""))
		}
		var created, deleted error
		var g errgroup.Group
		g.Go(func() error {
			w := hook.Webhook{TenantID: acme, URL: "https://example.com", Events: []string{"user.created", name}, Listed: []string{name}, Secret: "whsec_abc123", Active: true}
			w.Normalize()
			_, created = f.CreateWebhook(t.Context(), w)
			return nil
		})
		g.Go(func() error {
			deleted = f.DeleteEventType(t.Context(), of, name, shared)
			return nil
		})
		require.NoError(t, g.Wait())
		if created != nil {
			requireKind(t, hook.KindUnprocessable, created)
			require.ErrorContains(t, created, "body.events[1]")
			require.NoError(t, deleted)
		} else {
			requireKind(t, hook.KindPrecondition, deleted)
		}
		refusals[created != nil]++
	}
	t.Log(refusals)
}

// The type's row is found by the primary key, and the subscriptions tenant by tenant, however many there are.
func TestSharedTypesUseIndexes(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.exec(t, `insert into tenants (id, name, external_id) select gen_random_uuid(), 't', 't' || n from generate_series(1, 500) n`)
	f.exec(t, `insert into event_types (tenant_id, name) select t.id, 'order.n' || n from tenants t, generate_series(1, 40) n`)
	f.exec(t, `update event_types set shared = true where tenant_id = $1`, [16]byte(hook.DefaultTenant()))
	f.exec(t, `analyze tenants, event_types`)
	for name, s := range map[string]storage.Statement{"known type": storage.KnownType(), "event types": storage.EventTypesPage(hook.TenantID{1}, hook.NamePage{Limit: 10, Bytes: 1 << 20})} {
		plan := explain(t, f, s)
		require.NotContains(t, plan.types(), "Seq Scan", name)
		require.Less(t, plan.read(), 200.0, name)
	}
}
