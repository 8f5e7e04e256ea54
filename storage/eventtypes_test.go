package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
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
