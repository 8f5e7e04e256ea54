package storage_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

func (f *fixture) requireOperatorKey(t *testing.T, text hook.Secret, want hook.OperatorKeyState) {
	t.Helper()
	state, err := f.OperatorKey(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, want, state, text.Reveal())
	_, err = f.Authenticate(t.Context(), hook.HashKey(text), "")
	require.Equal(t, want == hook.OperatorKeyValid, err == nil, text.Reveal())
}

// Spec 7: the operator's key is stored once. An existing key becomes the operator's if it is an admin key of the
// default tenant.
func TestEnsureOperatorKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	operator := func(text hook.Secret) bool {
		found, err := f.Authenticate(t.Context(), hook.HashKey(text), "")
		require.NoError(t, err)
		return found.Key.Operator
	}
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return f.EnsureOperatorKey(t.Context(), "op", "gk_op") })
	}
	require.NoError(t, g.Wait())
	require.True(t, operator("gk_op"))
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from api_keys`))

	other := f.tenant(t, "other")
	for text, k := range map[hook.Secret]hook.APIKey{
		"gk_admin":  {TenantID: hook.DefaultTenant(), Scopes: []hook.Scope{hook.ScopeAdmin}},
		"gk_read":   {TenantID: hook.DefaultTenant(), Scopes: []hook.Scope{hook.ScopeRead}},
		"gk_theirs": {TenantID: other, Scopes: []hook.Scope{hook.ScopeAdmin}},
	} {
		_, err := f.CreateKey(t.Context(), k, text)
		require.NoError(t, err)
		require.False(t, operator(text))
		if err := f.EnsureOperatorKey(t.Context(), "op", text); text == "gk_admin" {
			require.NoError(t, err)
		} else {
			requireKind(t, hook.KindConflict, err)
		}
		require.Equal(t, text == "gk_admin", operator(text), text.Reveal())
	}
}

// There is one operator's key. A new one revokes the previous one for good.
func TestANewOperatorKeyEndsTheOldOne(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.requireOperatorKey(t, "gk_one", hook.OperatorKeyNone)
	require.NoError(t, f.EnsureOperatorKey(t.Context(), "op", "gk_one"))
	f.requireOperatorKey(t, "gk_one", hook.OperatorKeyValid)
	_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "admin", Scopes: []hook.Scope{hook.ScopeAdmin}}, "gk_admin")
	require.NoError(t, err)

	require.NoError(t, f.EnsureOperatorKey(t.Context(), "op", "gk_two"))
	f.requireOperatorKey(t, "gk_one", hook.OperatorKeyReplaced)
	f.requireOperatorKey(t, "gk_two", hook.OperatorKeyValid)
	_, err = f.Authenticate(t.Context(), hook.HashKey("gk_admin"), "")
	require.NoError(t, err, "other keys stay")

	requireKind(t, hook.KindPrecondition, f.EnsureOperatorKey(t.Context(), "op", "gk_one"))
	f.requireOperatorKey(t, "gk_one", hook.OperatorKeyReplaced)
	f.requireOperatorKey(t, "gk_two", hook.OperatorKeyValid)
	requireKind(t, hook.KindConflict, func() error {
		_, err := f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopeRead}}, "gk_read")
		require.NoError(t, err)
		return f.EnsureOperatorKey(t.Context(), "op", "gk_read")
	}())
	f.requireOperatorKey(t, "gk_two", hook.OperatorKeyValid)

	keys, _, err := f.Keys(t.Context(), hook.DefaultTenant(), hook.RankTenant, hook.Page{Limit: 10})
	require.NoError(t, err)
	for _, k := range keys {
		require.Equal(t, k.Name == "op", k.Operator)
	}
	f.exec(t, `update api_keys set expires_at = now() where name = 'op' and revoked_at is null`)
	f.requireOperatorKey(t, "gk_two", hook.OperatorKeyEnded)
}

// If processes with different keys start in any order, one key is left.
func TestOperatorKeysAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var g errgroup.Group
	for _, text := range []hook.Secret{"gk_1", "gk_2", "gk_3", "gk_4"} {
		g.Go(func() error { return f.EnsureOperatorKey(t.Context(), "op", text) })
	}
	require.NoError(t, g.Wait())
	require.Equal(t, 1, scalar[int](t, f, `select count(*) from api_keys where operator and revoked_at is null`))
}

// A client with another key can't revoke the operator's.
func TestRevokingTheOperatorKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.NoError(t, f.EnsureOperatorKey(t.Context(), "op", "gk_op"))
	found, err := f.Authenticate(t.Context(), hook.HashKey("gk_op"), "")
	require.NoError(t, err)
	key := found.Key
	requireKind(t, hook.KindForbidden, f.RevokeKey(t.Context(), hook.DefaultTenant(), key.ID, hook.RankTenant))
	requireKind(t, hook.KindNotFound, f.RevokeKey(t.Context(), f.tenant(t, "other"), key.ID, hook.RankTenant))
	f.requireOperatorKey(t, "gk_op", hook.OperatorKeyValid)
	require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), key.ID, hook.RankOperator))
	at := scalar[time.Time](t, f, `select revoked_at from api_keys`)
	require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), key.ID, hook.RankOperator))
	require.Equal(t, at, scalar[time.Time](t, f, `select revoked_at from api_keys`))
	f.requireOperatorKey(t, "gk_op", hook.OperatorKeyEnded)
	requireKind(t, hook.KindPrecondition, f.EnsureOperatorKey(t.Context(), "op", "gk_op"))
}
