package hook

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Profile decides payload, signature, schedule and surface of a webhook (spec 1).
type Profile string

// The three profiles.
const (
	ProfileStandard Profile = "standard"
	ProfileMomento  Profile = "momento"
	ProfileCommenda Profile = "commenda"
)

// Profiles lists every profile.
func Profiles() []Profile { return []Profile{ProfileStandard, ProfileMomento, ProfileCommenda} }

// DefaultTimeout is the profile's bound on a whole attempt (spec 1).
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

// DefaultAttempts is how many attempts a delivery has at most (spec 1).
func (p Profile) DefaultAttempts() int {
	if p == ProfileMomento {
		return 1
	}
	return MaxAttempts
}

// Health is how the endpoint has been answering lately (S3, S14).
type Health string

// The healths of a webhook.
const (
	HealthHealthy Health = "healthy" // the last attempt succeeded, or there was none
	HealthFailing Health = "failing" // the last attempt failed, and it will be tried again
	HealthFailed  Health = "failed"  // a delivery failed for good since the last success
)

// A webhook that has only failed is disabled (S14) when it has failed for DisableAfter,
// which leaves out pauses, and at least DisableAttempts times, on at least DisableDays
// days (UTC): the one on which it is disabled and two before it, so that an endpoint that
// was seldom asked is not disabled by two bad hours.
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
	// Events are the patterns subscribed to, in the order given, without duplicates:
	// for commenda topics, for momento its one topic.
	Events []string
	Secret Secret
	// Previous are secrets that were rotated out and may still be valid, newest first (S6).
	Previous []PreviousSecret
	// Schemes are the Standard Webhooks signatures that requests carry; of standard only.
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
	// TraceContext has requests carry the trace that they belong to; standard only.
	TraceContext bool
	Health       Health
	// TrippedAt is since when the endpoint has been unavailable and deliveries wait
	// for it (spec 9); nil if they don't.
	TrippedAt *time.Time
	// PausedAt is since when the client has wanted deliveries held; nil if it does not.
	// They wait, and go out when it no longer does.
	PausedAt  *time.Time
	CreatedAt time.Time
	UpdatedAt time.Time
	// Version grows with every change that a request depends on; it is the store's.
	Version int64
	// Generation counts how often it was disabled; it is the store's.
	Generation int
}

// Held tells that what is due waits for the webhook: its endpoint is unavailable, or the
// client has paused it.
func (w *Webhook) Deferring() bool { return w.TrippedAt != nil || w.PausedAt != nil }

// Revokes reports whether an outstanding delivery of the webhook must not be sent any more:
// it is disabled, or was since the delivery was accepted.
func (w *Webhook) Revokes(d *Delivery) bool {
	return !w.Active || d.Generation != nil && *d.Generation < w.Generation
}

// Pause holds deliveries, or lets them go.
func (w *Webhook) Pause(pause bool, now time.Time) {
	switch {
	case !pause:
		w.PausedAt = nil
	case w.PausedAt == nil:
		w.PausedAt = &now
	}
}

// Wants reports whether the webhook subscribes to events of the type from the cache. Only Momento's messages have a cache;
// for other events it is "". Only the standard profile has patterns: Commenda's topics are free-form strings, and Momento's
// are names.
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

// Normalize drops repeated events, keeping the order, and fills in the
// profile's defaults.
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

// cleanText tells valid UTF-8 without control characters: what can stand in a
// header, a log line and a terminal without doing anything there.
func cleanText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
