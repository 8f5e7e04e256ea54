package hook

import (
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Capability is what a portal session permits its holder (P2).
type Capability string

// The capabilities. Each of the others includes CapabilityView.
const (
	CapabilityView    Capability = "view"    // every read, except secrets
	CapabilityTest    Capability = "test"    // send tests
	CapabilityRetry   Capability = "retry"   // retry deliveries; make, change and cancel replays
	CapabilityManage  Capability = "manage"  // create, change, pause and delete webhooks
	CapabilitySecrets Capability = "secrets" // read and change signing secrets
)

// Capabilities lists every capability.
func Capabilities() []Capability {
	return []Capability{CapabilityView, CapabilityTest, CapabilityRetry, CapabilityManage, CapabilitySecrets}
}

// PortalTokenPrefix is the prefix of a portal session's token. No API key and no topic token has it.
const PortalTokenPrefix = "gps_"

// IsPortalToken reports whether the text is the token of a portal session, and not an API key.
func IsPortalToken(text Secret) bool {
	_, ok := strings.CutPrefix(text.Reveal(), PortalTokenPrefix)
	return ok
}

// Bounds of portal sessions (P2).
const (
	DefaultSessionLife = time.Hour
	MinSessionLife     = time.Minute
	MaxSessionLife     = 7 * 24 * time.Hour
	// MaxSessions is how many sessions of a tenant may be live at once.
	MaxSessions = 1000
	// SessionKeptFor is how long the row of a session is kept after its expiry, so that its holder learns that it has ended.
	SessionKeptFor = 7 * 24 * time.Hour
)

const (
	maxSessionName = 100
	maxLogoText    = 40
)

// PortalSession lets its holder act for one tenant, within its capabilities, until it expires or is revoked (P2). Only
// the answer to the request that made it has its token.
type PortalSession struct {
	ID       PortalSessionID
	TenantID TenantID
	// Name says for whom or what it is; may be empty.
	Name string
	// Capabilities are in the order of the function Capabilities, each once, CapabilityView among them.
	Capabilities []Capability
	// Theme is nil if the application's own is to be used.
	Theme     *PortalTheme
	CreatedAt time.Time
	ExpiresAt time.Time
}

// ThemeMode is whether a theme is light or dark.
type ThemeMode string

// The modes of a theme. ThemeSystem follows the reader's system.
const (
	ThemeLight  ThemeMode = "light"
	ThemeDark   ThemeMode = "dark"
	ThemeSystem ThemeMode = "system"
)

// PortalTheme is how the application looks in a session. The store keeps it as JSON. Empty members stand for the
// application's own.
type PortalTheme struct {
	Mode ThemeMode `json:"mode,omitempty"`
	// Accent is a colour in the form #rrggbb.
	Accent string `json:"accent,omitempty"`
	// LogoText stands in place of the product's name.
	LogoText string `json:"logo_text,omitempty"`
}

// Allows reports whether the session has the capability.
func (s *PortalSession) Allows(c Capability) bool { return slices.Contains(s.Capabilities, c) }

// SetCapabilities gives the session the capabilities in their order, each once, and CapabilityView.
func (s *PortalSession) SetCapabilities(list []Capability) {
	s.Capabilities = nil
	for _, c := range Capabilities() {
		if c == CapabilityView || slices.Contains(list, c) {
			s.Capabilities = append(s.Capabilities, c)
		}
	}
}

// Key returns the session as the API key of its requests. It has no scopes: what it may do is decided by the session's
// capabilities.
func (s *PortalSession) Key() APIKey {
	until := s.ExpiresAt
	return APIKey{ID: KeyID(s.ID), TenantID: s.TenantID, Name: s.Name, ExpiresAt: &until, CreatedAt: s.CreatedAt, Session: s}
}

// AuditMembers returns the session's members for the audit log.
func (s *PortalSession) AuditMembers() []AuditMember {
	names := make([]string, 0, len(s.Capabilities))
	for _, c := range s.Capabilities {
		names = append(names, string(c))
	}
	list := []AuditMember{
		{Name: "name", Value: s.Name}, {Name: "capabilities", Value: names}, {Name: "expires_at", Value: s.ExpiresAt.UTC()},
	}
	if s.Theme != nil {
		list = append(list, AuditMember{Name: "theme", Value: s.Theme})
	}
	return list
}

// AuditTarget returns the session as the target of an action.
func (s *PortalSession) AuditTarget() AuditTarget {
	return AuditTarget{Kind: TargetPortalSession, ID: s.ID.String(), Name: s.Name}
}

// Validate reports every wrong value of a new session at once. list has the capabilities as they were given, and life is
// how long it is to be valid.
func (s *PortalSession) Validate(list []Capability, life time.Duration) error {
	var v violations
	if len(list) == 0 {
		v.add("body.capabilities", nil, "must name at least one of %s", capabilityNames())
	}
	for i, c := range list {
		if !slices.Contains(Capabilities(), c) {
			v.add(indexed("body.capabilities", i), shown(string(c)), "must be one of %s", capabilityNames())
		}
	}
	if life < MinSessionLife || life > MaxSessionLife {
		v.add("body.expires_in", int(life/time.Second), "must be %d to %d seconds", int(MinSessionLife/time.Second), int(MaxSessionLife/time.Second))
	}
	if utf8.RuneCountInString(s.Name) > maxSessionName || !cleanText(s.Name) {
		v.add("body.name", nil, "must be at most %d characters without control characters", maxSessionName)
	}
	s.Theme.validate(&v)
	return v.err()
}

var accentForm = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

func (t *PortalTheme) validate(v *violations) {
	if t == nil {
		return
	}
	switch t.Mode {
	case "", ThemeLight, ThemeDark, ThemeSystem:
	default:
		v.add("body.theme.mode", shown(string(t.Mode)), "must be one of light, dark, system")
	}
	if t.Accent != "" && !accentForm.MatchString(t.Accent) {
		v.add("body.theme.accent", shown(t.Accent), "must be a colour in the form #rrggbb")
	}
	if utf8.RuneCountInString(t.LogoText) > maxLogoText || !cleanText(t.LogoText) {
		v.add("body.theme.logo_text", nil, "must be at most %d characters without control characters", maxLogoText)
	}
}

func capabilityNames() string {
	names := make([]string, 0, len(Capabilities()))
	for _, c := range Capabilities() {
		names = append(names, string(c))
	}
	return strings.Join(names, ", ")
}
