package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
)

type createTopicTokenRequest struct {
	CacheName string   `json:"cache_name" minLength:"1" maxLength:"128" doc:"The cache whose topics the token is for." example:"chat"`
	Topics    []string `json:"topics" minItems:"1" maxItems:"10" doc:"Patterns of the topics that the token permits to follow. The API key must permit them itself." example:"[\"room-281\"]"`
	ExpiresIn *int     `json:"expires_in,omitempty" minimum:"10" maximum:"3600" doc:"How long the token is valid, in seconds. Default: 300." example:"300"`
}

type createTopicTokenInput struct {
	Body createTopicTokenRequest
}

// TopicToken is a credential that allows following topics for a short time.
type TopicToken struct {
	Token     string    `json:"token" doc:"Replaces the API key in requests that follow a topic." example:"gt_AqSm9ZIyVvqkqzL1Wc3OeN0b"`
	CacheName string    `json:"cache_name" doc:"The cache whose topics the token is for." example:"chat"`
	Topics    []string  `json:"topics" doc:"The topics that the token permits to follow, as patterns." example:"[\"room-281\"]"`
	ExpiresAt time.Time `json:"expires_at" doc:"When the token expires." example:"2026-01-15T12:05:00Z"`
}

type createTopicTokenOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         TopicToken
}

func (a *API) registerTopicTokens() {
	register(a, operation{
		id: "create-topic-token", portal: portalClosed, method: http.MethodPost, path: "/v1/topic-tokens", tag: tagStandard, status: http.StatusCreated, scopes: followers(),
		summary: "Create a topic token",
		description: "Permits its holder to follow topics of one cache for some minutes, and nothing else. It is for pages in a " +
			"browser, which must not have an API key. It is not stored and can't be revoked: it ends when it expires, or with " +
			"the API key that made it.",
	}, a.createTopicToken)
}

func (a *API) createTopicToken(ctx context.Context, in *createTopicTokenInput) (*createTopicTokenOutput, error) {
	key, b, now := principal(ctx), &in.Body, time.Now()
	until := now.Add(hook.DefaultTokenLife)
	if b.ExpiresIn != nil {
		until = now.Add(time.Duration(*b.ExpiresIn) * time.Second)
	}
	if key.ExpiresAt != nil && key.ExpiresAt.Before(until) {
		until = *key.ExpiresAt
	}
	t := hook.TopicToken{
		TenantID: key.TenantID, Key: key.ID, Cache: hook.TrimName(b.CacheName), Topics: b.Topics, Until: seconds(until),
	}
	if err := t.Validate(&key); err != nil {
		return nil, err
	}
	text, err := a.Store.CreateTopicToken(ctx, t)
	if err != nil {
		return nil, err
	}
	return &createTopicTokenOutput{CacheControl: "no-store", Body: TopicToken{text.Reveal(), t.Cache, t.Topics, t.Until}}, nil
}
