package storage_test

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/keytext"
)

// S7: PUT adds a type or changes it; a tenant's own types are listed by name.
func TestEventTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := hook.DefaultTenant()
	types, err := f.EventTypes(t.Context(), tenant)
	require.NoError(t, err)
	require.Empty(t, types, "the nine of the seed need no row")

	order, created, err := f.PutEventType(t.Context(), tenant, hook.EventType{Name: "order.paid", Description: "Paid"})
	require.NoError(t, err)
	require.True(t, created)
	account, created, err := f.PutEventType(t.Context(), tenant, hook.EventType{Name: "account.closed"})
	require.NoError(t, err)
	require.True(t, created)
	_, created, err = f.PutEventType(t.Context(), f.tenant(t, "other"), hook.EventType{Name: "order.paid"})
	require.NoError(t, err)
	require.True(t, created, "another tenant's is another one")

	changed, created, err := f.PutEventType(t.Context(), tenant, hook.EventType{Name: "order.paid", Description: "Bezahlt"})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, order.CreatedAt, changed.CreatedAt)

	types, err = f.EventTypes(t.Context(), tenant)
	require.NoError(t, err)
	require.Equal(t, []hook.EventType{account, {Name: "order.paid", Description: "Bezahlt", CreatedAt: order.CreatedAt}}, types)
}

// S7: a type's schema is kept byte for byte, found by its hash, and replaced with all
// that is said of the type.
func TestSchemas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant, other := hook.DefaultTenant(), f.tenant(t, "other")
	const text, changed = `{"type":"object","title":"1.0 \u0000 é"}`, `{"type":"array"}`
	names := []string{"order.paid", "order.made", "user.created", "order.lost"}
	put := func(tenant hook.TenantID, name, schema string) hook.EventType {
		t.Helper()
		given := hook.EventType{Name: name}
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
		types, err := f.EventTypes(t.Context(), tenant)
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

// A key knows whether its tenant has schemas, as of the look-up.
func TestKeysKnowWhetherThereAreSchemas(t *testing.T) {
	t.Parallel()
	f := setup(t)
	mine, theirs := keytext.New(), keytext.New()
	for tenant, text := range map[hook.TenantID]hook.Secret{hook.DefaultTenant(): mine, f.tenant(t, "other"): theirs} {
		_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: tenant, Name: "test", Scopes: hook.Scopes()}, text)
		require.NoError(t, err)
	}
	for _, schema := range [][]byte{nil, []byte(`true`), nil} {
		_, _, err := f.PutEventType(t.Context(), hook.DefaultTenant(), hook.EventType{Name: "order.paid", Schema: schema})
		require.NoError(t, err)
		for text, want := range map[hook.Secret]bool{mine: schema != nil, theirs: false} {
			k, err := f.AuthenticateForTopics(t.Context(), text)
			require.NoError(t, err)
			require.Equal(t, want, k.Schemas)
			k, err = f.Authenticate(t.Context(), text)
			require.NoError(t, err)
			require.False(t, k.Schemas, "it was not asked")
		}
	}
}

// All schemas of a tenant together are bounded: its catalogue is one answer.
func TestSchemasTogetherAreBounded(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tenant := hook.DefaultTenant()
	large := []byte(`{"title":"` + strings.Repeat("x", 32<<10-12) + `"}`)
	require.Len(t, large, 32<<10)
	n := hook.MaxSchemas / len(large)
	for i := range n {
		_, _, err := f.PutEventType(t.Context(), tenant, hook.EventType{Name: fmt.Sprintf("a%d", i), Schema: large})
		require.NoError(t, err)
	}
	_, _, err := f.PutEventType(t.Context(), tenant, hook.EventType{Name: "b", Schema: []byte(`{}`)})
	require.Equal(t, hook.KindUnprocessable, hook.KindOf(err))
	require.ErrorContains(t, err, "validation failed")
	_, _, err = f.PutEventType(t.Context(), tenant, hook.EventType{Name: "b"})
	require.NoError(t, err, "one without a schema is no matter")
	_, created, err := f.PutEventType(t.Context(), tenant, hook.EventType{Name: "a1", Schema: large})
	require.NoError(t, err, "what replaces a schema takes its place")
	require.False(t, created)
	_, _, err = f.PutEventType(t.Context(), f.tenant(t, "other"), hook.EventType{Name: "b", Schema: large})
	require.NoError(t, err)
}
