package hook_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// P2: each capability includes view, and a session has those it was given and no others.
func TestCapabilities(t *testing.T) {
	t.Parallel()
	for _, given := range hook.Capabilities() {
		var s hook.PortalSession
		s.SetCapabilities([]hook.Capability{given, given})
		for _, c := range hook.Capabilities() {
			require.Equal(t, c == given || c == hook.CapabilityView, s.Allows(c), "%s of %s", c, given)
		}
	}
	var all hook.PortalSession
	all.SetCapabilities([]hook.Capability{hook.CapabilitySecrets, hook.CapabilityManage, hook.CapabilityRetry, hook.CapabilityTest})
	require.Equal(t, hook.Capabilities(), all.Capabilities)
	require.False(t, all.Allows("publish"))
}

// P2: as a key, a session has no scope at all, and is no platform key.
func TestSessionIsNoKey(t *testing.T) {
	t.Parallel()
	s := hook.PortalSession{ID: hook.PortalSessionID{1}, TenantID: hook.TenantID{2}, Name: "Alice", Capabilities: hook.Capabilities()}
	k := s.Key()
	require.False(t, k.Allows(append(hook.Scopes(), hook.ScopePlatform)...))
	require.False(t, k.Platform())
	require.Equal(t, hook.RankTenant, k.Rank())
	require.Equal(t, hook.Actor{Kind: hook.ActorSession, ID: s.ID.String(), Name: "Alice", Address: "203.0.113.7"}, k.Actor("203.0.113.7"))
	require.True(t, hook.IsPortalToken("gps_x"))
	require.False(t, hook.IsPortalToken("gk_gps_x"))
}

// P2: bounds of a session. Every wrong value is named.
func TestPortalSessionValidate(t *testing.T) {
	t.Parallel()
	view := []hook.Capability{hook.CapabilityView}
	good := hook.PortalSession{
		Name: strings.Repeat("é", 100), Theme: &hook.PortalTheme{Mode: hook.ThemeDark, Accent: "#aB3456", LogoText: strings.Repeat("é", 40)},
	}
	for _, life := range []time.Duration{time.Minute, time.Hour, 7 * 24 * time.Hour} {
		require.NoError(t, good.Validate(view, life))
	}
	plain := hook.PortalSession{Theme: &hook.PortalTheme{}}
	require.NoError(t, plain.Validate(view, time.Hour))
	for location, c := range map[string]struct {
		session hook.PortalSession
		list    []hook.Capability
		life    time.Duration
	}{
		"body.capabilities":    {hook.PortalSession{}, nil, time.Hour},
		"body.capabilities[1]": {hook.PortalSession{}, []hook.Capability{hook.CapabilityView, "publish"}, time.Hour},
		"body.expires_in":      {hook.PortalSession{}, view, 59 * time.Second},
		"body.name":            {hook.PortalSession{Name: "a\nb"}, view, time.Hour},
		"body.theme.mode":      {hook.PortalSession{Theme: &hook.PortalTheme{Mode: "pink"}}, view, time.Hour},
		"body.theme.accent":    {hook.PortalSession{Theme: &hook.PortalTheme{Accent: "#12345g"}}, view, time.Hour},
		"body.theme.logo_text": {hook.PortalSession{Theme: &hook.PortalTheme{LogoText: strings.Repeat("x", 41)}}, view, time.Hour},
	} {
		var e *hook.Error
		require.ErrorAs(t, c.session.Validate(c.list, c.life), &e, location)
		require.Len(t, e.Violations, 1, location)
		require.Equal(t, location, e.Violations[0].Location)
	}
	for _, accent := range []string{"red", "#fff", "#1234567", "#123456;", "123456#", "#123456\n"} {
		wrong := hook.PortalSession{Theme: &hook.PortalTheme{Accent: accent}}
		require.Error(t, wrong.Validate(view, time.Hour), accent)
	}
	require.Error(t, plain.Validate(view, 7*24*time.Hour+time.Second))
}
