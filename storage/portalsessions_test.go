package storage_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// session creates a portal session of a tenant under a token.
func (f *fixture) session(t *testing.T, tenant hook.TenantID, token hook.Secret, life time.Duration) hook.PortalSession {
	t.Helper()
	p, err := f.CreateSession(t.Context(), hook.PortalSession{TenantID: tenant, Capabilities: []hook.Capability{hook.CapabilityView}}, token, life)
	require.NoError(t, err)
	return p
}

// P2: a session is stored as a hash, and authenticates by its token alone.
func TestPortalSession(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.tenant(t, "acme")
	const token hook.Secret = "gps_plainly-visible"
	made, err := f.CreateSession(t.Context(), hook.PortalSession{
		TenantID: acme, Name: "Alice", Capabilities: []hook.Capability{hook.CapabilityView, hook.CapabilityTest},
		Theme: &hook.PortalTheme{Mode: hook.ThemeDark, Accent: "#112233", LogoText: "Acme"},
	}, token, 90*time.Minute)
	require.NoError(t, err)
	require.Equal(t, 90*time.Minute, made.ExpiresAt.Sub(made.CreatedAt))
	plain := f.session(t, acme, "gps_plain", time.Hour)

	found, err := f.AuthenticateSession(t.Context(), hook.HashKey(token), "")
	require.NoError(t, err)
	require.Equal(t, made, *found.Key.Session)
	require.Equal(t, acme, found.Key.TenantID)
	require.Empty(t, found.Key.Scopes)
	list, next, err := f.Sessions(t.Context(), hook.OneTenant(acme), hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Nil(t, next)
	require.Equal(t, []hook.PortalSession{plain, made}, list)

	sum := sha256.Sum256([]byte(token.Reveal()))
	require.Equal(t, sum[:], scalar[[]byte](t, f, `select hash from portal_sessions where name = 'Alice'`))
	require.NotContains(t, scalar[string](t, f, `select string_agg(row_to_json(p)::text, '') from portal_sessions p`), "plainly-visible")
	for _, wrong := range []hook.Secret{"", "gps_plainly-visibl", "gps_plainly-visible ", hook.Secret(sum[:])} {
		_, err := f.AuthenticateSession(t.Context(), hook.HashKey(wrong), "")
		requireKind(t, hook.KindNotFound, err)
	}
	// A session's token is no API key, and an API key no session.
	_, err = f.Authenticate(t.Context(), hook.HashKey(token), "")
	requireKind(t, hook.KindNotFound, err)
	// The name of a tenant is known if it is its own.
	for name, want := range map[string]hook.TenantID{
		acme.String(): acme, "default": {}, hook.DefaultTenant().String(): {}, "*": {}, "nobody": {},
	} {
		found, err := f.AuthenticateSession(t.Context(), hook.HashKey(token), name)
		require.NoError(t, err)
		require.Equal(t, want, found.Named, name)
	}
	_, err = f.db.Exec(t.Context(), `update tenants set external_id = 'acme/1' where id = $1`, [16]byte(acme))
	require.NoError(t, err)
	found, err = f.AuthenticateSession(t.Context(), hook.HashKey(token), "acme/1")
	require.NoError(t, err)
	require.Equal(t, acme, found.Named)
}

// P2: revoking one, revoking all, the time and the deletion of the tenant end a session, in every process.
func TestPortalSessionEnds(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme, other := f.tenant(t, "acme"), f.tenant(t, "other")
	elsewhere := open(t, f.url, encryptionKey) // another process
	ended := func(token hook.Secret) {
		t.Helper()
		for _, store := range []*storage.Store{f.Store, elsewhere} {
			_, err := store.AuthenticateSession(t.Context(), hook.HashKey(token), "")
			requireKind(t, hook.KindSessionEnded, err)
		}
	}
	live := func(token hook.Secret) {
		t.Helper()
		_, err := elsewhere.AuthenticateSession(t.Context(), hook.HashKey(token), "")
		require.NoError(t, err)
	}
	one := f.session(t, acme, "gps_one", time.Hour)
	f.session(t, acme, "gps_two", time.Hour)
	f.session(t, acme, "gps_past", -time.Second)
	f.session(t, other, "gps_other", time.Hour)
	live("gps_one")
	ended("gps_past")

	requireKind(t, hook.KindNotFound, f.RevokeSession(t.Context(), other, one.ID))
	requireKind(t, hook.KindNotFound, f.RevokeSession(t.Context(), acme, hook.PortalSessionID{1}))
	for range 2 { // the second time changes nothing
		require.NoError(t, f.RevokeSession(t.Context(), acme, one.ID))
	}
	ended("gps_one")
	live("gps_two")
	n, err := f.RevokeSessions(t.Context(), acme)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	ended("gps_two")
	live("gps_other")
	n, err = f.RevokeSessions(t.Context(), acme)
	require.NoError(t, err)
	require.Zero(t, n)
	list, _, err := f.Sessions(t.Context(), hook.TenantFilter{All: true}, hook.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, list, 1)

	_, err = f.DeleteTenant(t.Context(), other.String())
	require.NoError(t, err)
	ended("gps_other")
	_, err = f.CreateSession(t.Context(), hook.PortalSession{TenantID: other, Capabilities: hook.Capabilities()}, "gps_late", time.Hour)
	requireKind(t, hook.KindNoTenant, err)
	_, err = f.CreateSession(t.Context(), hook.PortalSession{TenantID: hook.TenantID{7}, Capabilities: hook.Capabilities()}, "gps_late", time.Hour)
	requireKind(t, hook.KindNoTenant, err)
}

// P2: sessions leave with their tenant, also if a process of a version before deletes it, which does not know them.
func TestPortalSessionsLeaveWithTheirTenant(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme, other := f.tenant(t, "acme"), f.tenant(t, "other")
	f.session(t, acme, "gps_one", time.Hour)
	f.session(t, other, "gps_two", time.Hour)
	_, err := f.db.Exec(t.Context(), `delete from tenants where id = $1`, [16]byte(acme))
	require.NoError(t, err)
	_, err = f.DeleteTenant(t.Context(), other.String())
	require.NoError(t, err)
	for gone := false; !gone; {
		step, err := f.DeletionStep(t.Context(), other)
		require.NoError(t, err)
		gone = step.Gone
	}
	require.Zero(t, scalar[int](t, f, `select count(*) from portal_sessions`))
}

// P2: a tenant has at most 1,000 sessions, also if they are created at the same time; those that have ended don't count.
func TestMaxSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.tenant(t, "acme")
	_, err := f.db.Exec(t.Context(), `
		insert into portal_sessions (id, tenant_id, hash, capabilities, expires_at, revoked_at)
		select gen_random_uuid(), $1, sha256(n::text::bytea), '{view}', now() + (case when n % 3 = 0 then '-1 s' else '1 h' end)::interval, case when n % 3 = 1 then now() end
		from generate_series(1, $2 * 3 - 6) n`, [16]byte(acme), hook.MaxSessions)
	require.NoError(t, err)
	var g errgroup.Group
	errs := make([]error, 8)
	for i := range errs {
		g.Go(func() error {
			_, errs[i] = f.CreateSession(t.Context(), hook.PortalSession{TenantID: acme, Capabilities: hook.Capabilities()}, hook.Secret("gps_"+string(rune('a'+i))), time.Hour)
			return nil
		})
	}
	require.NoError(t, g.Wait())
	made := 0
	for _, err := range errs {
		if err == nil {
			made++
		} else {
			requireKind(t, hook.KindLimit, err)
		}
	}
	require.Equal(t, 2, made)
	f.session(t, hook.DefaultTenant(), "gps_another_tenant", time.Hour)
}

// P2: pages of sessions, of one tenant and of all, without those that have ended.
func TestPortalSessionPages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.tenant(t, "acme")
	var want []hook.PortalSessionID
	for i := range 5 {
		p := f.session(t, acme, hook.Secret("gps_"+string(rune('a'+i))), time.Hour)
		f.session(t, acme, hook.Secret("gps_past"+string(rune('a'+i))), -time.Second)
		want = append([]hook.PortalSessionID{p.ID}, want...)
	}
	f.session(t, hook.DefaultTenant(), "gps_other", time.Hour)
	for of, most := range map[hook.TenantFilter]int{hook.OneTenant(acme): 5, {All: true}: 6} {
		var got []hook.PortalSessionID
		page := hook.Page{Limit: 2}
		for more := true; more; {
			list, next, err := f.Sessions(t.Context(), of, page)
			require.NoError(t, err)
			for _, p := range list {
				got = append(got, p.ID)
			}
			page.Before, more = next, next != nil
		}
		require.Len(t, got, most)
		require.Equal(t, want, got[most-5:])
	}
}

// P2: maintenance deletes sessions a week after their time.
func TestPurgeSessions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.session(t, hook.DefaultTenant(), "gps_old", -hook.SessionKeptFor-time.Minute)
	f.session(t, hook.DefaultTenant(), "gps_ended", -hook.SessionKeptFor+time.Minute)
	f.session(t, hook.DefaultTenant(), "gps_live", time.Hour)
	n, err := f.PurgeSessions(t.Context(), hook.SessionKeptFor)
	require.NoError(t, err)
	require.EqualValues(t, 1, n)
	_, err = f.AuthenticateSession(t.Context(), hook.HashKey("gps_old"), "")
	requireKind(t, hook.KindNotFound, err)
	_, err = f.AuthenticateSession(t.Context(), hook.HashKey("gps_ended"), "")
	requireKind(t, hook.KindSessionEnded, err)
}

// P2, K11: making and revoking sessions is logged, without the token.
func TestPortalSessionsAreLogged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ctx := hook.WithActor(t.Context(), hook.Actor{Kind: hook.ActorCLI, ID: "root", Name: "root"})
	p := hook.PortalSession{TenantID: hook.DefaultTenant(), Name: "Alice", Capabilities: hook.Capabilities(), Theme: &hook.PortalTheme{Mode: hook.ThemeLight}}
	for _, token := range []hook.Secret{"gps_plainly-visible-1", "gps_plainly-visible-2", "gps_plainly-visible-3"} {
		var err error
		p, err = f.CreateSession(ctx, p, token, time.Hour)
		require.NoError(t, err)
	}
	for range 2 {
		require.NoError(t, f.RevokeSession(ctx, p.TenantID, p.ID))
	}
	for range 2 {
		_, err := f.RevokeSessions(ctx, p.TenantID)
		require.NoError(t, err)
	}
	entries, _, err := f.AuditLog(t.Context(), hook.AuditFilter{Of: hook.OneTenant(p.TenantID), Action: "portal_session.*"}, hook.Page{Limit: 10})
	require.NoError(t, err)
	var actions []hook.AuditAction
	for _, e := range entries {
		actions = append(actions, e.Action)
	}
	const made, revoked = hook.AuditSessionCreated, hook.AuditSessionRevoked
	require.Equal(t, []hook.AuditAction{revoked, revoked, made, made, made}, actions)
	require.JSONEq(t, `2`, string(entries[0].Changes[0].After))
	require.Equal(t, hook.AuditTarget{Kind: hook.TargetPortalSession, ID: p.ID.String(), Name: "Alice"}, entries[1].Target)
	require.NotContains(t, scalar[string](t, f, `select string_agg(row_to_json(a)::text, '') from audit_log a`), "plainly-visible")
}
