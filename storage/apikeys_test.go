package storage_test

import (
	"crypto/sha256"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
)

func keyID(k hook.APIKey) [16]byte { return k.ID }

// Spec 7: a key is stored only as a hash, and authenticates by its text.
func TestAPIKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const text hook.Secret = "gk_plainly-visible"
	expires := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	key, err := f.CreateKey(t.Context(), hook.APIKey{
		TenantID: hook.DefaultTenant(), Name: "ci", Scopes: []hook.Scope{hook.ScopePublish, hook.ScopeRead},
		TokenID: "mo-the-squirrel", Topics: []string{"user.*", "a topic"}, Caches: []string{"chat"}, ExpiresAt: &expires,
	}, text)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now(), key.CreatedAt, time.Minute)

	got, err := f.Authenticate(t.Context(), hook.HashKey(text), "")
	require.NoError(t, err)
	require.Equal(t, key, got.Key)
	listed, _, err := f.Keys(t.Context(), hook.DefaultTenant(), hook.RankTenant, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Equal(t, []hook.APIKey{key}, listed)

	sum := sha256.Sum256([]byte(text.Reveal()))
	require.Equal(t, sum[:], scalar[[]byte](t, f, `select hash from api_keys`))
	require.NotContains(t, scalar[string](t, f, `select row_to_json(k)::text from api_keys k`), "plainly-visible")

	for _, wrong := range []hook.Secret{"", "gk_plainly-visibl", "gk_plainly-visible ", "GK_PLAINLY-VISIBLE", hook.Secret(sum[:])} {
		_, err = f.Authenticate(t.Context(), hook.HashKey(wrong), "")
		requireKind(t, hook.KindNotFound, err)
	}
	_, err = f.CreateKey(t.Context(), hook.APIKey{TenantID: hook.DefaultTenant(), Name: "again", Scopes: []hook.Scope{hook.ScopeRead}}, text)
	requireKind(t, hook.KindConflict, err)
	require.NotContains(t, err.Error(), "plainly-visible")
}

// Spec 7: a revoked key and an expired key authenticate nothing.
func TestAPIKeyEnds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	past := time.Now().Add(-time.Second)
	make1 := func(text hook.Secret, expires *time.Time) hook.APIKey {
		key, err := f.CreateKey(t.Context(), hook.APIKey{
			TenantID: hook.DefaultTenant(), Name: "k", Scopes: []hook.Scope{hook.ScopeRead}, ExpiresAt: expires,
		}, text)
		require.NoError(t, err)
		return key
	}
	revoked, other := make1("gk_revoked", nil), make1("gk_other", nil)
	make1("gk_expired", &past)

	require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), revoked.ID, hook.RankTenant))
	for _, text := range []hook.Secret{"gk_revoked", "gk_expired"} {
		_, err := f.Authenticate(t.Context(), hook.HashKey(text), "")
		requireKind(t, hook.KindNotFound, err)
	}
	_, err := f.Authenticate(t.Context(), hook.HashKey("gk_other"), "")
	require.NoError(t, err)
	require.NotEqual(t, revoked.ID, other.ID)

	first := scalar[time.Time](t, f, `select revoked_at from api_keys where id = $1`, revoked.ID[:])
	require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), revoked.ID, hook.RankTenant), "revoking twice is no error")
	require.Equal(t, first, scalar[time.Time](t, f, `select revoked_at from api_keys where id = $1`, revoked.ID[:]))
	requireKind(t, hook.KindNotFound, f.RevokeKey(t.Context(), hook.DefaultTenant(), hook.KeyID{1}, hook.RankTenant))
}

// Spec 7: keys are listed newest first, page by page, including revoked keys.
func TestAPIKeyPagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	f := setup(t)
	var want []hook.KeyID
	for _, text := range []hook.Secret{"gk_1", "gk_2", "gk_3", "gk_4", "gk_5"} {
		key, err := f.CreateKey(t.Context(), hook.APIKey{
			TenantID: hook.DefaultTenant(), Name: "k", Scopes: hook.Scopes(),
		}, text)
		require.NoError(t, err)
		want = append(want, key.ID)
	}
	require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), want[2], hook.RankTenant))
	slices.Reverse(want)
	for _, limit := range []int{1, 2, 4, 5, 6} {
		var got []hook.KeyID
		for _, k := range pages(t, limit, func(p hook.Page) ([]hook.APIKey, bool, error) {
			return f.Keys(t.Context(), hook.DefaultTenant(), hook.RankTenant, p)
		}, keyID) {
			got = append(got, k.ID)
			require.Equal(t, k.ID == want[2], k.RevokedAt != nil)
		}
		require.Equal(t, want, got, "limit %d", limit)
	}
}

// Spec 7: concurrent look-ups of keys share statements. Each gets its own answer, also next to a key that is
// unknown, revoked or expired.
func TestAuthenticateTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	past := time.Now().Add(-time.Second)
	const callers = 50
	want := make([]*hook.APIKey, callers) // nil if no key is found
	texts := make([]hook.Secret, callers)
	for i := range callers {
		texts[i] = hook.Secret(fmt.Sprintf("gk_%d", i%30)) // some texts occur more than once
		if i >= 30 {
			want[i] = want[i%30]
			continue
		}
		k := hook.APIKey{TenantID: hook.DefaultTenant(), Name: fmt.Sprint(i), Scopes: []hook.Scope{hook.ScopeRead}}
		switch i % 6 {
		case 0:
			continue // unknown
		case 1:
			k.ExpiresAt = &past
		case 2:
			k.TenantID, k.Scopes = other, []hook.Scope{hook.ScopePublish}
		}
		k, err := f.CreateKey(t.Context(), k, texts[i])
		require.NoError(t, err)
		switch i % 6 {
		case 1:
		case 3:
			require.NoError(t, f.RevokeKey(t.Context(), hook.DefaultTenant(), k.ID, hook.RankTenant))
		default:
			want[i] = &k
		}
	}
	var g errgroup.Group
	for range 3 {
		for i := range callers {
			g.Go(func() error {
				got, err := f.Authenticate(t.Context(), hook.HashKey(texts[i]), "")
				switch {
				case want[i] != nil && (err != nil || !reflect.DeepEqual(*want[i], got.Key)):
					return fmt.Errorf("key %s: %+v, %w", texts[i].Reveal(), got, err)
				case want[i] == nil && hook.KindOf(err) != hook.KindNotFound:
					return fmt.Errorf("key %s is let in: %+v, %w", texts[i].Reveal(), got, err)
				}
				return nil
			})
		}
	}
	require.NoError(t, g.Wait())
}

// S7: concurrent look-ups of event types share statements, too. A tenant's types are unknown to other tenants.
func TestLookUpEventTypesTogether(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	for tenant, names := range map[hook.TenantID][]string{
		hook.DefaultTenant(): {"both.paid", "mine.paid"}, other: {"both.paid", "theirs.paid"},
	} {
		for _, name := range names {
			_, _, err := f.PutEventType(t.Context(), tenant, hook.NewEventType{Name: name})
			require.NoError(t, err)
		}
	}
	var g errgroup.Group
	for range 25 {
		for _, c := range []struct {
			tenant      hook.TenantID
			names, want []string
		}{
			{hook.DefaultTenant(), []string{"theirs.paid", "both.paid", "user.created", "mine.paid", "nobody.paid"}, []string{"theirs.paid", "nobody.paid"}},
			{other, []string{"nobody.paid", "mine.paid", "user.created", "both.paid", "theirs.paid"}, []string{"nobody.paid", "mine.paid"}},
			{other, []string{"theirs.paid"}, nil},
			{hook.DefaultTenant(), []string{"theirs.paid"}, []string{"theirs.paid"}},
			{hook.DefaultTenant(), []string{"user.created"}, nil},
			{hook.DefaultTenant(), nil, nil},
		} {
			g.Go(func() error {
				got, _, err := f.LookUpEventTypes(t.Context(), c.tenant, c.names)
				if err == nil && !slices.Equal(c.want, got) {
					err = fmt.Errorf("of %v, %v are unknown", c.names, got)
				}
				return err
			})
		}
	}
	require.NoError(t, g.Wait())
}
