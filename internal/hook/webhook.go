package hook

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Profile determines the payload, the signature, the schedule and the API surface of a webhook (spec 1).
type Profile string

// The three profiles.
const (
	ProfileStandard Profile = "standard"
	ProfileMomento  Profile = "momento"
	ProfileCommenda Profile = "commenda"
)

// Profiles lists every profile.
func Profiles() []Profile { return []Profile{ProfileStandard, ProfileMomento, ProfileCommenda} }

// DefaultTimeout returns the profile's bound on a whole attempt (spec 1).
func (p Profile) DefaultTimeout() time.Duration {
	switch p {
	case ProfileMomento:
		return 5 * time.Second
	case ProfileCommenda:
		return 10 * time.Second
	case ProfileStandard:
	}
	return 15 * time.Second
}

// DefaultAttempts returns how many attempts a delivery has at most (spec 1).
func (p Profile) DefaultAttempts() int {
	if p == ProfileMomento {
		return 1
	}
	return MaxAttempts
}

// Health says how the endpoint has answered lately (S3, S14).
type Health string

// The healths of a webhook.
const (
	HealthHealthy Health = "healthy" // the last attempt succeeded, or there was none
	HealthFailing Health = "failing" // the last attempt failed, and it will be tried again
	HealthFailed  Health = "failed"  // a delivery failed for good since the last success
)

// A webhook that has only failed is disabled (S14) when it has failed for DisableAfter, without its pauses, at least
// DisableAttempts times, and on at least DisableDays days (UTC). The last of these days is the one on which it is
// disabled. So two bad hours do not disable an endpoint that gets few requests.
const (
	DisableAfter    = 5 * 24 * time.Hour
	DisableAttempts = 5
	DisableDays     = 3
)

// Bounds of what a webhook can hold.
const (
	MaxURLLength = 2048
	// MinSecretLength and MaxSecretLength bound a secret, in characters.
	MinSecretLength      = 8
	MaxSecretLength      = 256
	MaxEvents            = 100
	MaxHeaders           = 20
	MaxHeaderValueLength = 1024
	MaxTimeout           = 30 * time.Second
	MaxRateLimit         = 10_000
)

// Webhook is a subscription of one URL to event types.
type Webhook struct {
	ID       WebhookID
	TenantID TenantID
	Profile  Profile
	// Cache and Name identify a Momento webhook to its clients; empty for the
	// other profiles.
	Cache string
	Name  string
	URL   string
	// Events are the patterns that the webhook subscribes to, in the order given and without duplicates. For commenda
	// they are topics, for momento one topic.
	Events []string
	Secret Secret
	// Listed are those of the new Events that were found in the catalogue. The store refuses a change of the events if
	// one of them has been deleted since (K6). It does not keep them.
	Listed []string
	// Previous are secrets that were rotated out and may still be valid, newest first (S6).
	Previous []PreviousSecret
	// Schemes are the Standard Webhooks signatures that requests carry; only standard has them.
	Schemes []Scheme
	Active  bool
	// DisabledReason says why Active is false; empty while it is true.
	DisabledReason string
	Description    string
	// Headers are sent with every request; their values may be credentials.
	Headers map[string]Secret
	// Timeout bounds a whole attempt, from DNS to the body's end; 1 to 30 s.
	Timeout time.Duration
	// RateLimit is in requests per second; 0 is no limit.
	RateLimit int
	// MaxAttempts is 1 to 5.
	MaxAttempts int
	// TraceContext says that requests carry the trace that they belong to; only standard has it.
	TraceContext bool
	Health       Health
	// TrippedAt is when the endpoint became unavailable, so that deliveries are deferred (spec 9); nil if it is
	// available.
	TrippedAt *time.Time
	// PausedAt is when the client paused the webhook; nil if it is not paused. Its deliveries are deferred until the
	// pause ends.
	PausedAt *time.Time
	// SuspendedAt is when the webhook's tenant was suspended (K8); nil if it is active. It holds deliveries as a pause
	// does. The store sets it.
	SuspendedAt *time.Time
	CreatedAt   time.Time
	UpdatedAt   time.Time
	// Version grows with every change that a request depends on. The store sets it.
	Version int64
	// Generation counts how often the webhook was disabled. The store sets it.
	Generation int
}

// Held reports whether nothing is sent to the webhook although it is active: the client has paused it, or its tenant is
// suspended.
func (w *Webhook) Held() bool { return w.PausedAt != nil || w.SuspendedAt != nil }

// Deferring reports whether due deliveries are deferred: the endpoint is unavailable, or the webhook is held.
func (w *Webhook) Deferring() bool { return w.TrippedAt != nil || w.Held() }

// Revokes reports whether an outstanding delivery of the webhook must not be sent any more: the webhook is disabled, or
// was disabled since the delivery was accepted.
func (w *Webhook) Revokes(d *Delivery) bool {
	return !w.Active || d.Generation != nil && *d.Generation < w.Generation
}

// Pause pauses the webhook, or ends its pause.
func (w *Webhook) Pause(pause bool, now time.Time) {
	switch {
	case !pause:
		w.PausedAt = nil
	case w.PausedAt == nil:
		w.PausedAt = &now
	}
}

// Wants reports whether the webhook subscribes to events of the type from the cache. Only Momento's messages have a
// cache; for other events it is "". Only the standard profile has patterns: Commenda's topics are free-form strings,
// and Momento's are names.
func (w *Webhook) Wants(cache, eventType string) bool {
	switch {
	case w.Cache != cache:
		return false
	case w.Profile == ProfileStandard:
		return Matches(w.Events, eventType)
	default:
		return slices.Contains(w.Events, eventType)
	}
}

// Normalize drops repeated events, keeping the order, and sets the profile's defaults.
func (w *Webhook) Normalize() {
	events := make([]string, 0, len(w.Events))
	for _, e := range w.Events {
		if !slices.Contains(events, e) {
			events = append(events, e)
		}
	}
	w.Events = events
	if w.Profile == "" {
		w.Profile = ProfileStandard
	}
	if len(w.Schemes) == 0 {
		w.Schemes = []Scheme{SchemeV1}
	}
	if w.Timeout == 0 {
		w.Timeout = w.Profile.DefaultTimeout()
	}
	if w.MaxAttempts == 0 {
		w.MaxAttempts = w.Profile.DefaultAttempts()
	}
	if w.Health == "" {
		w.Health = HealthHealthy
	}
}

// cleanText reports whether s is valid UTF-8 without control characters, so that it does no harm in a header, a log
// line or a terminal.
func cleanText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
