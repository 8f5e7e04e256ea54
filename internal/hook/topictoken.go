package hook

import (
	"strings"
	"time"
)

// TopicTokenPrefix is the prefix of a topic token's text. No API key has it.
const TopicTokenPrefix = "gt_"

// The default and the bound of a topic token's life. A token cannot be revoked by itself, and may appear in URLs.
const (
	DefaultTokenLife = 5 * time.Minute
	MaxTokenLife     = time.Hour
)

// TopicToken allows following topics of a cache until a time. It is for clients that cannot keep an API key secret,
// such as pages in browsers. It ends with the key that made it.
type TopicToken struct {
	TenantID TenantID
	Key      KeyID
	Cache    string
	Topics   []string // patterns
	Until    time.Time
}

// IsTopicToken reports whether the text is that of a topic token, and not of an API key.
func IsTopicToken(text Secret) bool {
	_, ok := strings.CutPrefix(text.Reveal(), TopicTokenPrefix)
	return ok
}

// Validate reports every wrong value of a new token at once. It also refuses a token that allows more than the key that
// makes it.
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

// KeyFor returns the permissions of the token's holder, as an API key. k is the key that made the token.
func (t *TopicToken) KeyFor(k *APIKey) APIKey {
	until := t.Until
	return APIKey{
		ID: k.ID, TenantID: t.TenantID, Name: k.Name, Scopes: []Scope{ScopeSubscribe},
		Caches: []string{t.Cache}, Topics: t.Topics, ExpiresAt: &until,
	}
}
