package storage_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// BenchmarkLookUps measures what a publish looks up before it is stored: the key, and the type, which has no
// schema. A thousand other types of the tenant must not matter.
func BenchmarkLookUps(b *testing.B) {
	f := setup(b)
	text := secrets.NewAPIKey()
	_, err := f.CreateKey(b.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "bench", Scopes: hook.Scopes()}, text)
	require.NoError(b, err)
	for i := range 1000 {
		_, _, err := f.PutEventType(b.Context(), hook.DefaultTenant(), hook.NewEventType{Name: fmt.Sprintf("type.%d", i)})
		require.NoError(b, err)
	}
	_, err = f.db.Exec(b.Context(), `analyze`)
	require.NoError(b, err)
	b.Run("key", func(b *testing.B) {
		for b.Loop() {
			_, err := f.Authenticate(b.Context(), hook.HashKey(text), "")
			require.NoError(b, err)
		}
	})
	b.Run("type", func(b *testing.B) {
		for b.Loop() {
			_, _, err := f.LookUpEventTypes(b.Context(), hook.DefaultTenant(), []string{"type.500"})
			require.NoError(b, err)
		}
	})
}
