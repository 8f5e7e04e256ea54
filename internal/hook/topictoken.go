package hook

import (
	"strings"
	"time"
)

// TopicTokenPrefix begins the text of a TopicToken, and no API key's.
const TopicTokenPrefix = "gt_"

// Bounds of a topic token's life. It can't be revoked by itself, and may be in URLs.
const (
	DefaultTokenLife = 5 * time.Minute
	MaxTokenLife     = time.Hour
)

// TopicToken lets its holder follow topics of a cache until a time: for clients that
// can't keep an API key, such as pages in browsers. It ends with the key that made it.
type TopicToken struct {
	TenantID TenantID
	Key      KeyID
	Cache    string
	Topics   []string // patterns
	Until    time.Time
}

// IsTopicToken tells a topic token's text from an API key's.
func IsTopicToken(text Secret) bool {
	_, ok := strings.CutPrefix(text.Reveal(), TopicTokenPrefix)
	return ok
}

// Validate reports every wrong value of a token to be made by the key, at once, and
// whether the key may not follow itself what the token would.
func (t *TopicToken) Validate(k *APIKey) error {
	var v violations
	if problem := cacheProblem(t.Cache); problem != "" {
		v.add("body.cache_name", shown(t.Cache), "%s", problem)
	}
	if len(t.Topics) == 0 {
		v.add("body.topics", nil, "must name at least one topic, or pattern")
	}
	validateTopics(&v, t.Topics)
	if err := v.err(); err != nil {
		return err
	}
	key := t.KeyFor(k)
	if !k.CoversKey(&key) {
		return &Error{Kind: KindForbidden, Message: "the API key may not follow all of these topics itself"}
	}
	return nil
}

// KeyFor is what the token lets its holder do, which the key that made it may do too.
func (t *TopicToken) KeyFor(k *APIKey) APIKey {
	until := t.Until
	return APIKey{
		ID: k.ID, TenantID: k.TenantID, Name: k.Name, Scopes: []Scope{ScopeSubscribe},
		Caches: []string{t.Cache}, Topics: t.Topics, ExpiresAt: &until,
	}
}
