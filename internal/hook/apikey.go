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
	// ScopeSubscribe allows following topics, and nothing else.
	ScopeSubscribe Scope = "subscribe"
	// ScopePlatform allows acting for every tenant, within the key's other scopes (K3). Admin does not include it.
	ScopePlatform Scope = "platform"
)

// Scopes lists every scope that a tenant's key may have.
func Scopes() []Scope {
	return []Scope{ScopeAdmin, ScopeWebhooks, ScopePublish, ScopeRead, ScopeSubscribe}
}

// APIKey is an API key without its text. Only the answer to the request that made the key has the text.
type APIKey struct {
	ID       KeyID
	TenantID TenantID
	Name     string
	Scopes   []Scope
	// TokenID appears as token_id in Momento's bodies; empty if the key has none.
	TokenID string
	// Operator marks the operator's key, which is configured and has every scope.
	Operator bool
	// Topics are patterns that limit what the key may publish, read and subscribe to; empty is no limit.
	Topics []string
	// Caches limit the key to the topics of these caches; empty is no limit.
	Caches    []string
	ExpiresAt *time.Time
	RevokedAt *time.Time
	CreatedAt time.Time
	// Session is set if it is no API key, but stands for a portal session in the session's requests (P2). Its scopes are
	// then empty, and its ID is the session's.
	Session *PortalSession
}

// OperatorKeyState is the state of the operator's configured key.
type OperatorKeyState string

// The states of the operator's key. A key that has ended does not become valid again.
const (
	OperatorKeyValid    OperatorKeyState = "valid"
	OperatorKeyReplaced OperatorKeyState = "replaced" // ended, and another one is valid
	OperatorKeyEnded    OperatorKeyState = "ended"    // revoked or expired, and there is no other
	OperatorKeyNone     OperatorKeyState = "none"     // the text is not the operator's key
)

// Allows reports whether the key has one of the scopes.
func (k *APIKey) Allows(anyOf ...Scope) bool {
	return slices.Contains(k.Scopes, ScopeAdmin) || slices.ContainsFunc(anyOf, func(s Scope) bool {
		return slices.Contains(k.Scopes, s)
	})
}

// Platform reports whether the key is a platform key, which acts for the tenant that a request names (K3).
func (k *APIKey) Platform() bool { return k.Operator || slices.Contains(k.Scopes, ScopePlatform) }

// KeyRank is the standing of a key: a key sees and revokes keys of its own rank and of lower ones.
type KeyRank int

// The ranks of keys, lowest first.
const (
	RankTenant KeyRank = iota
	RankPlatform
	RankOperator
)

// Rank returns the key's rank.
func (k *APIKey) Rank() KeyRank {
	switch {
	case k.Operator:
		return RankOperator
	case k.Platform():
		return RankPlatform
	default:
		return RankTenant
	}
}

// AllowsType reports whether the key may publish events of the type, and read them.
func (k *APIKey) AllowsType(eventType string) bool { return k.AllowsTopic("", eventType) }

// AllowsTopic reports whether the key may publish messages of the topic of the cache, and read them. Events that are no
// messages have the cache "".
func (k *APIKey) AllowsTopic(cache, name string) bool {
	return k.AllowsCache(cache) && (len(k.Topics) == 0 || Matches(k.Topics, name))
}

// AllowsCache reports whether the key may use topics of the cache.
func (k *APIKey) AllowsCache(cache string) bool {
	return len(k.Caches) == 0 || slices.Contains(k.Caches, cache)
}

// Limited reports whether the key's topics or caches limit what it may read.
func (k *APIKey) Limited() bool { return len(k.Topics) > 0 || len(k.Caches) > 0 }

// Covers reports whether the key may read everything that is sent to the webhook. A client that chooses the webhook's
// URL can read what is sent there.
func (k *APIKey) Covers(w *Webhook) bool {
	return k.AllowsCache(w.Cache) && !slices.ContainsFunc(w.Events, func(event string) bool {
		if w.Profile == ProfileStandard {
			return !k.CoversPattern(event)
		}
		return len(k.Topics) > 0 && !Matches(k.Topics, event)
	})
}

// CoversKey reports whether the other key is limited at least as much as this one. A limited key must not make a key
// with fewer limits.
func (k *APIKey) CoversKey(other *APIKey) bool {
	without := func(list []string, has func(string) bool) bool {
		return slices.ContainsFunc(list, func(s string) bool { return !has(s) })
	}
	switch {
	case len(k.Topics) > 0 && (len(other.Topics) == 0 || without(other.Topics, k.CoversPattern)):
		return false
	case len(k.Caches) > 0 && (len(other.Caches) == 0 || without(other.Caches, k.AllowsCache)):
		return false
	}
	return true
}

// CoversPattern reports whether the key's topics match everything that the pattern matches.
func (k *APIKey) CoversPattern(pattern string) bool {
	if len(k.Topics) == 0 || slices.Contains(k.Topics, pattern) {
		return true
	}
	return !IsOperational(pattern) && slices.ContainsFunc(k.Topics, func(topic string) bool {
		return IsWildcard(topic) && strings.HasPrefix(strings.TrimSuffix(pattern, "*"), strings.TrimSuffix(topic, "*"))
	})
}

// Validate reports every wrong value of a new key at once.
func (k *APIKey) Validate(now time.Time) error {
	var v violations
	if k.Name == "" || utf8.RuneCountInString(k.Name) > 100 || !cleanText(k.Name) {
		v.add("body.name", nil, "must be 1 to 100 characters without control characters")
	}
	if len(k.Scopes) == 0 {
		v.add("body.scopes", nil, "must name at least one of %s", scopeNames())
	}
	for i, s := range k.Scopes {
		if s != ScopePlatform && !slices.Contains(Scopes(), s) {
			v.add(indexed("body.scopes", i), string(s), "must be one of %s", scopeNames())
		}
	}
	if k.Platform() && k.TenantID != DefaultTenant() {
		v.add("body.scopes", nil, "a platform key belongs to no tenant: create it without naming one")
	}
	if utf8.RuneCountInString(k.TokenID) > 256 || !cleanText(k.TokenID) {
		v.add("body.token_id", nil, "must be at most 256 characters without control characters")
	}
	if k.Topics != nil && len(k.Topics) == 0 {
		v.add("body.topics", nil, "must not be empty; leave it out for no limit")
	}
	validateTopics(&v, k.Topics)
	if k.Caches != nil && len(k.Caches) == 0 {
		v.add("body.caches", nil, "must not be empty; leave it out for no limit")
	}
	for i, cache := range k.Caches {
		if problem := cacheProblem(cache); problem != "" {
			v.add(indexed("body.caches", i), shown(cache), "%s", problem)
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

// lastYear is the last year that RFC 3339 can express, in UTC.
const lastYear = 9999

func scopeNames() string {
	names := make([]string, 0, len(Scopes())+1)
	for _, s := range append(Scopes(), ScopePlatform) {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func validateTopics(v *violations, topics []string) {
	for i, t := range topics {
		problem := TopicProblem(t)
		if problem == "" && strings.Contains(strings.TrimSuffix(t, "*"), "*") || strings.HasSuffix(t, "*") && !IsWildcard(t) {
			problem = starProblem
		}
		if problem != "" {
			v.add(indexed("body.topics", i), t, "%s", problem)
		}
	}
}

func cacheProblem(name string) string {
	if name != TrimName(name) {
		return "must not be surrounded by spaces"
	}
	return NameProblem(name)
}
