package hook

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Scope is a permission of an API key (spec 7).
type Scope string

// The scopes. Admin includes the others.
const (
	ScopeAdmin    Scope = "admin"
	ScopeWebhooks Scope = "webhooks" // manage webhooks, see secrets, test and retry
	ScopePublish  Scope = "publish"
	ScopeRead     Scope = "read" // lists and single reads, without secrets
)

// Scopes lists every scope.
func Scopes() []Scope { return []Scope{ScopeAdmin, ScopeWebhooks, ScopePublish, ScopeRead} }

// APIKey is an API key without its text, which only the answer that makes it holds.
type APIKey struct {
	ID       KeyID
	TenantID TenantID
	Name     string
	Scopes   []Scope
	// TokenID appears as token_id in Momento's bodies; empty if the key has none.
	TokenID string
	// Operator lets it manage tenants too: the key of the operator's environment.
	Operator bool
	// Schemas tells whether the tenant had any event type with a schema when the key was
	// looked up for topics: where it had none, nothing published need be held against one.
	Schemas bool
	// Topics limit what may be published, as patterns; empty is no limit.
	Topics    []string
	ExpiresAt *time.Time
	RevokedAt *time.Time
	CreatedAt time.Time
}

// Allows tells whether the key has one of the scopes.
func (k *APIKey) Allows(anyOf ...Scope) bool {
	return slices.Contains(k.Scopes, ScopeAdmin) || slices.ContainsFunc(anyOf, func(s Scope) bool {
		return slices.Contains(k.Scopes, s)
	})
}

// AllowsType tells whether the key may publish events of the type.
func (k *APIKey) AllowsType(eventType string) bool {
	return len(k.Topics) == 0 || Matches(k.Topics, eventType)
}

// Validate reports every wrong value of a key to be made, at once.
func (k *APIKey) Validate(now time.Time) error {
	var v violations
	if k.Name == "" || utf8.RuneCountInString(k.Name) > 100 || !cleanText(k.Name) {
		v.add("body.name", nil, "must be 1 to 100 characters without control characters")
	}
	if len(k.Scopes) == 0 {
		v.add("body.scopes", nil, "must name at least one of admin, webhooks, publish, read")
	}
	for i, s := range k.Scopes {
		if !slices.Contains(Scopes(), s) {
			v.add(indexed("body.scopes", i), string(s), "must be one of admin, webhooks, publish, read")
		}
	}
	if utf8.RuneCountInString(k.TokenID) > 256 || !cleanText(k.TokenID) {
		v.add("body.token_id", nil, "must be at most 256 characters without control characters")
	}
	if k.Topics != nil && len(k.Topics) == 0 {
		v.add("body.topics", nil, "must not be empty; leave it out for no limit")
	}
	for i, t := range k.Topics {
		problem := TopicProblem(t)
		if problem == "" && strings.Contains(strings.TrimSuffix(t, "*"), "*") || strings.HasSuffix(t, "*") && !IsWildcard(t) {
			problem = starProblem
		}
		if problem != "" {
			v.add(indexed("body.topics", i), t, "%s", problem)
		}
	}
	switch {
	case k.ExpiresAt == nil:
	case !k.ExpiresAt.After(now):
		v.add("body.expires_at", nil, "must lie in the future")
	case k.ExpiresAt.UTC().Year() > lastYear:
		v.add("body.expires_at", nil, "must lie before the year %d", lastYear+1)
	}
	return v.err()
}

// lastYear is the last that RFC 3339 can write, in UTC.
const lastYear = 9999
