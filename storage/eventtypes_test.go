package storage_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// S7: PUT adds or changes a type. A tenant's own types are listed by name.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := hook.DefaultTenant()
	types, _, err := f.EventTypes(t.Context(), tenant, hook.EventTypeFilter{}, hook.NamePage{Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Empty(t, types, "the nine of the seed need no row")

	order, created, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "order.paid", Description: new("Paid")})
	require.NoError(t, err)
	require.True(t, created)
	account, created, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "account.closed"})
	require.NoError(t, err)
	require.True(t, created)
	_, created, err = f.PutEventType(t.Context(), f.tenant(t, "other"), hook.NewEventType{Name: "order.paid"})
	require.NoError(t, err)
	require.True(t, created, "another tenant's is another one")

	changed, created, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "order.paid", Description: new("Bezahlt")})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, order.CreatedAt, changed.CreatedAt)

	types, _, err = f.EventTypes(t.Context(), tenant, hook.EventTypeFilter{}, hook.NamePage{Limit: 100, Bytes: 1 << 20})
	require.NoError(t, err)
	require.Equal(t, []hook.EventType{account, {Name: "order.paid", Description: "Bezahlt", CreatedAt: order.CreatedAt}}, types)

	kept, _, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "order.paid", Schema: []byte(`{}`), Example: []byte(`1`)})
	require.NoError(t, err)
	require.Equal(t, "Bezahlt", kept.Description, "none was given")
	read, err := f.EventType(t.Context(), tenant, "order.paid")
	require.NoError(t, err)
	require.Equal(t, kept, read)
	_, _, err = f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "order.paid", Description: new("")})
	require.NoError(t, err)
	read, err = f.EventType(t.Context(), tenant, "order.paid")
	require.NoError(t, err)
	require.Equal(t, hook.EventType{Name: "order.paid", CreatedAt: order.CreatedAt}, read)
}

// A page of types ends at its limit, or where the types are too large together. It says whether more follow, and
// can start after a given name.
func TestEventTypesArePaged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := hook.DefaultTenant()
	for i := range 7 {
		put := hook.NewEventType{Name: fmt.Sprintf("t%d", i), Schema: fmt.Appendf(nil, `"%1000s"`, ""), Example: fmt.Appendf(nil, `"%1000s"`, "")}
		_, _, err := f.PutEventType(t.Context(), tenant, put)
		require.NoError(t, err)
	}
	_, _, err := f.PutEventType(t.Context(), f.tenant(t, "other"), hook.NewEventType{Name: "t00"})
	require.NoError(t, err)
	for _, c := range []struct {
		page hook.NamePage
		want string
		more bool
	}{
		{hook.NamePage{Limit: 7, Bytes: 1 << 20}, "t0 t1 t2 t3 t4 t5 t6", false},
		{hook.NamePage{Limit: 6, Bytes: 1 << 20}, "t0 t1 t2 t3 t4 t5", true},
		{hook.NamePage{Limit: 6, Bytes: 1 << 20, After: "t0"}, "t1 t2 t3 t4 t5 t6", false},
		{hook.NamePage{Limit: 3, Bytes: 1 << 20, After: "t31"}, "t4 t5 t6", false},
		{hook.NamePage{Limit: 7, Bytes: 5000}, "t0 t1", true},
		{hook.NamePage{Limit: 7, Bytes: 5000, After: "t4"}, "t5 t6", false},
		{hook.NamePage{Limit: 7, Bytes: 1}, "t0", true},
		{hook.NamePage{Limit: 7, Bytes: 1, After: "t5"}, "t6", false},
		{hook.NamePage{Limit: 7, Bytes: 1, After: "t6"}, "", false},
	} {
		types, more, err := f.EventTypes(t.Context(), tenant, hook.EventTypeFilter{}, c.page)
		require.NoError(t, err)
		var names []string
		for _, one := range types {
			names = append(names, one.Name)
		}
		require.Equal(t, c.want, strings.Join(names, " "), "%+v", c.page)
		require.Equal(t, c.more, more, "%+v", c.page)
	}
}

// The number of a tenant's types is limited. At the limit, existing types can still be changed.
func TestEventTypesAreLimited(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.Store = openLimited(t, f.url, storage.Limits{EventTypes: 2})
	tenant := hook.DefaultTenant()
	put := func(tenant hook.TenantID, name string) error {
		_, _, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: name, Schema: []byte(`{}`)})
		return err
	}
	require.NoError(t, put(tenant, "a"))
	require.NoError(t, put(tenant, "b"))
	err := put(tenant, "c")
	require.Equal(t, hook.KindLimit, hook.KindOf(err))
	require.ErrorContains(t, err, "2 event types")
	require.NoError(t, put(tenant, "b"))
	require.NoError(t, put(f.tenant(t, "other"), "c"))
	require.Equal(t, 3, scalar[int](t, f, `select count(*)::int from event_types`))
}

// S7: a type's schema is kept byte for byte and found by its hash. A PUT replaces it with the rest of the type.
func TestSchemas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant, other := hook.DefaultTenant(), f.tenant(t, "other")
	const text, changed = `{"type":"object","title":"1.0 \u0000 é"}`, `{"type":"array"}`
	names := []string{"order.paid", "order.made", "user.created", "order.lost"}
	put := func(tenant hook.TenantID, name, schema string) hook.EventType {
		t.Helper()
		given := hook.NewEventType{Name: name}
		if schema != "" {
			given.Schema, given.Example = []byte(schema), []byte(`{}`)
		}
		got, _, err := f.PutEventType(t.Context(), tenant, given)
		require.NoError(t, err)
		read, err := f.EventType(t.Context(), tenant, name)
		require.NoError(t, err)
		require.Equal(t, got, read)
		require.Equal(t, given.Schema, read.Schema)
		require.Equal(t, given.Example, read.Example)
		return read
	}
	find := func(tenant hook.TenantID) (schemas map[string]hook.SchemaHash) {
		t.Helper()
		unknown, schemas, err := f.LookUpEventTypes(t.Context(), tenant, names)
		require.NoError(t, err)
		if tenant == other {
			require.Equal(t, []string{"order.made", "order.lost"}, unknown)
		} else {
			require.Equal(t, []string{"order.lost"}, unknown)
		}
		return schemas
	}
	plain := put(tenant, "order.made", "")
	put(other, "order.paid", "")
	for _, schema := range []string{text, changed, ""} {
		own := put(tenant, "order.paid", schema)
		types, _, err := f.EventTypes(t.Context(), tenant, hook.EventTypeFilter{}, hook.NamePage{Limit: 100, Bytes: 1 << 20})
		require.NoError(t, err)
		require.Equal(t, []hook.EventType{plain, own}, types)
		var want map[string]hook.SchemaHash
		if schema != "" {
			want = map[string]hook.SchemaHash{"order.paid": sha256.Sum256([]byte(schema))}
		}
		require.Equal(t, want, find(tenant))
		require.Nil(t, find(other), "another tenant's type has none")
	}
	list, err := f.EventTypeNames(t.Context(), tenant)
	require.NoError(t, err)
	require.Equal(t, []string{"order.made", "order.paid"}, list)
	_, err = f.EventType(t.Context(), other, "order.made")
	require.Equal(t, hook.KindNotFound, hook.KindOf(err))
}

// Authentication also reports whether the key's tenant has schemas.
func TestAuthenticateReportsSchemas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	mine, theirs := secrets.NewAPIKey(), secrets.NewAPIKey()
	for tenant, text := range map[hook.TenantID]hook.Secret{hook.DefaultTenant(): mine, f.tenant(t, "other"): theirs} {
		_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: tenant, Name: "test", Scopes: hook.Scopes()}, text)
		require.NoError(t, err)
	}
	for _, schema := range [][]byte{nil, []byte(`true`), nil} {
		_, _, err := f.PutEventType(t.Context(), hook.DefaultTenant(), hook.NewEventType{Name: "order.paid", Schema: schema})
		require.NoError(t, err)
		for text, want := range map[hook.Secret]bool{mine: schema != nil, theirs: false} {
			found, err := f.Authenticate(t.Context(), hook.HashKey(text), "")
			require.NoError(t, err)
			require.Equal(t, want, found.Schemas)
		}
	}
}

// The total size of a tenant's schemas is limited, because one answer lists them all.
func TestSchemasTogetherAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := hook.DefaultTenant()
	large := []byte(`{"title":"` + strings.Repeat("x", 32<<10-12) + `"}`)
	require.Len(t, large, 32<<10)
	n := hook.MaxSchemas / len(large)
	for i := range n {
		_, _, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: fmt.Sprintf("a%d", i), Schema: large})
		require.NoError(t, err)
	}
	_, _, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "a0", Schema: []byte(`{}`), Example: large})
	require.Equal(t, hook.KindUnprocessable, hook.KindOf(err), "examples count")
	_, _, err = f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "b", Schema: []byte(`{}`)})
	require.Equal(t, hook.KindUnprocessable, hook.KindOf(err))
	require.ErrorContains(t, err, "validation failed")
	_, _, err = f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "b"})
	require.NoError(t, err, "one without a schema is no matter")
	_, created, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: "a1", Schema: large})
	require.NoError(t, err, "what replaces a schema takes its place")
	require.False(t, created)
	_, _, err = f.PutEventType(t.Context(), f.tenant(t, "other"), hook.NewEventType{Name: "b", Schema: large})
	require.NoError(t, err)
}
