package hook

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
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

// Subscribes reports whether events of the type are for the webhook. Only the standard
// profile has patterns.
func (w *Webhook) Subscribes(eventType string) bool {
	if w.Profile == ProfileStandard {
		return Matches(w.Events, eventType)
	}
	return slices.Contains(w.Events, eventType)
}

// Host is HostOf the webhook's URL.
func (w *Webhook) Host() string { return HostOf(w.URL) }

// Plain tells a destination without TLS.
func (w *Webhook) Plain() bool {
	u, err := url.Parse(w.URL)
	return err == nil && u.Scheme == "http"
}

// HostOf is a URL's host and port, for summaries; empty if the URL does not parse.
func HostOf(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	return u.Host
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

// Validate reports every wrong value of the webhook at once, located in the
// request's body. Whether the event types exist and whether the destination may
// be called is not decided here.
func (w *Webhook) Validate() error {
	var v violations
	if problem := w.URLProblem(); problem != "" {
		v.add("body.url", shown(w.URL), "%s", problem)
	}
	w.validateEvents(&v)
	w.validateSecret(&v)
	w.validateSchemes(&v)
	w.validateHeaders(&v)
	if utf8.RuneCountInString(w.Description) > 1000 || !cleanText(w.Description) {
		v.add("body.description", nil, "must be at most 1000 characters, without control characters")
	}
	most := MaxTimeout
	if w.Profile == ProfileMomento {
		most = w.Profile.DefaultTimeout() // M7: what has no answer by then is dropped
	}
	if w.Timeout < time.Second || w.Timeout > most {
		v.add("body.timeout_seconds", w.Timeout.Seconds(), "must be 1 to %v", most.Seconds())
	}
	switch most := w.Profile.DefaultAttempts(); {
	case most == 1 && w.MaxAttempts != 1:
		v.add("body.max_attempts", w.MaxAttempts, "must be 1: a message is never sent twice")
	case w.MaxAttempts < 1 || w.MaxAttempts > most:
		v.add("body.max_attempts", w.MaxAttempts, "must be 1 to %d", most)
	}
	if w.RateLimit < 0 || w.RateLimit > MaxRateLimit {
		v.add("body.rate_limit", w.RateLimit, "must be 1 to %d requests per second", MaxRateLimit)
	}
	if w.TraceContext && w.Profile != ProfileStandard {
		v.add("body.trace_context", true, "only standard webhooks can have it: requests of the others have the headers of the system they stand for")
	}
	if w.Profile == ProfileMomento && w.Cache == "" {
		v.add("body.profile", string(w.Profile), "momento webhooks belong to a cache: PUT /caches/{cacheName}/webhooks/{webhookName}")
	}
	return v.err()
}

func (w *Webhook) validateEvents(v *violations) {
	noun := "event type"
	if w.Profile == ProfileCommenda {
		noun = "topic"
	}
	switch {
	case w.Profile == ProfileMomento && len(w.Events) != 1:
		v.add("body.events", nil, "must name exactly one topic")
		return
	case len(w.Events) == 0:
		v.add("body.events", nil, "must name at least one %s", noun)
	case len(w.Events) > MaxEvents:
		v.add("body.events", nil, "must name at most %d %ss", MaxEvents, noun)
		return
	}
	for i, e := range w.Events {
		if problem := w.eventProblem(e); problem != "" {
			v.add(indexed("body.events", i), shown(e), "%s", problem)
		}
	}
}

func (w *Webhook) eventProblem(event string) string {
	switch w.Profile {
	case ProfileCommenda:
		return TopicProblem(event)
	case ProfileMomento:
		if event != TrimName(event) {
			return "must not be surrounded by spaces"
		}
		return NameProblem(event)
	case ProfileStandard:
	}
	return PatternProblem(event)
}

func (w *Webhook) validateSecret(v *violations) {
	s := w.Secret.Reveal()
	if s == "" || utf8.RuneCountInString(s) > MaxSecretLength || !cleanText(s) {
		v.add("body.secret", nil, "must be 1 to %d characters without control characters", MaxSecretLength)
	}
}

// NewSecretProblem says what is wrong with a secret that a client chooses; "" if nothing
// is. Secrets that were stored before may be shorter.
func NewSecretProblem(s string) string {
	if n := utf8.RuneCountInString(s); n < MinSecretLength || n > MaxSecretLength || !cleanText(s) || strings.TrimSpace(s) != s {
		return fmt.Sprintf("must be %d to %d characters without control characters or spaces at its ends", MinSecretLength, MaxSecretLength)
	}
	return ""
}

// TopicProblem says what is wrong with a Commenda topic, a free-form string (C1).
func TopicProblem(topic string) string {
	if topic == "" || utf8.RuneCountInString(topic) > MaxTypeLength || !cleanText(topic) || strings.TrimSpace(topic) != topic {
		return "must be 1 to 128 characters without control characters or surrounding spaces"
	}
	return ""
}

// URLProblem says what is wrong with the destination (spec 8); "" if nothing is.
func (w *Webhook) URLProblem() string {
	most := MaxURLLength
	if w.Profile == ProfileMomento {
		most = MaxTopicURLLength
	}
	switch {
	case w.URL == "":
		return "must not be empty"
	case utf8.RuneCountInString(w.URL) > most:
		return fmt.Sprintf("must be at most %d characters", most)
	default:
		return urlProblem(w.URL)
	}
}

func urlProblem(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case err != nil || !cleanText(raw) || strings.ContainsAny(raw, " \\"):
		return "is not a valid URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "must be an absolute http or https URL"
	case u.Opaque != "" || u.Hostname() == "":
		return "must name a host"
	case !isHost(u.Hostname()):
		return "must name a host that can exist"
	case u.User != nil:
		return "must not contain a user name or password"
	case u.Fragment != "":
		return "must not contain a fragment"
	case u.Port() == "" && strings.HasSuffix(u.Host, ":"), u.Port() != "" && !isPort(u.Port()):
		return "must have a port between 1 and 65535"
	}
	return ""
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

// Bounds of RFC 1035, section 2.3.4.
const (
	maxLabel = 63
	maxName  = 253
)

// isHost tells an address or a name whose parts have a possible length; a dot at
// the end is the root's.
func isHost(host string) bool {
	if strings.Contains(host, ":") {
		return true // an IPv6 address, which has been parsed
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > maxName {
		return false
	}
	return !slices.ContainsFunc(strings.Split(host, "."), func(label string) bool { return label == "" || len(label) > maxLabel })
}

// cleanText tells valid UTF-8 without control characters: what can stand in a
// header, a log line and a terminal without doing anything there.
func cleanText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
