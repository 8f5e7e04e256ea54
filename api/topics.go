package api

import (
	"context"
	"net/http"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

type topicStore interface {
	// Messages returns the last position of a topic, and its messages from a number on.
	Messages(ctx context.Context, q hook.MessageQuery) (hook.Messages, error)
}

type publishMessageInput struct {
	TopicPath
	// Hidden, because a parameter more would change the signature of generated clients.
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" hidden:"true"`
	RawBody        []byte `contentType:"text/plain"`
}

func (a *API) registerTopics() {
	text := &huma.MediaType{
		Schema: &huma.Schema{
			Type: huma.TypeString, MaxLength: new(hook.MaxMessage),
			Description: "The message: up to 65,536 bytes of UTF-8 text, kept byte for byte. Every textual content type is taken.",
		},
		Example: "Hello, squirrels!",
	}
	register(a, operation{
		id: "publish-topic-message", portal: portalClosed, method: http.MethodPost, path: "/topics/{cacheName}/{topicName}", tag: tagMomento,
		status: http.StatusNoContent, scopes: []hook.Scope{hook.ScopePublish}, raw: true, text: true, keyAnywhere: true, publishes: true,
		summary:     "Publish a message to a topic",
		description: "The body is the message. 204 means that it is stored durably, with a delivery for every webhook on the topic. The answer waits neither for webhooks nor for subscribers. With an Idempotency-Key, requests repeated within 24 hours publish one message.",
		errors:      []int{http.StatusConflict},
		maxBody:     hook.MaxMessage + 1, // Huma refuses a body of exactly the limit
		body:        &huma.RequestBody{Content: map[string]*huma.MediaType{"text/plain": text}},
	}, a.publishMessage)
	a.registerFollow()
}

func (a *API) publishMessage(ctx context.Context, in *publishMessageInput) (*empty, error) {
	topic, err := in.topic(ctx)
	if err != nil {
		return nil, err
	}
	key, err := idempotencyKey(in.IdempotencyKey, nil)
	if err != nil {
		return nil, err
	}
	text := string(in.RawBody)
	if at := invalidUTF8(text); at >= 0 {
		return nil, hook.Unprocessable("body", "is not UTF-8 at byte %d", at)
	}
	p := hook.Publication{
		TenantID: topic.TenantID, Type: topic.Name, Cache: topic.Cache, TokenID: tokenID(ctx), Data: canonjson.AppendString(nil, text),
		IdempotencyKey: key,
	}
	setHops(ctx, &p)
	var accepted hook.Accepted
	if err = checkAllowedTopic(ctx, topic.Cache, topic.Name); err == nil {
		accepted, err = a.accept(ctx, p, nil)
	}
	if accepted, err = a.unlessRepeated(ctx, &p, accepted, err); err != nil {
		return nil, err
	}
	if !accepted.Duplicate {
		a.Topics.Published(topic.ID())
	}
	return nil, nil
}

// topic returns the caller's topic that a path names.
func (p *TopicPath) topic(ctx context.Context) (*hook.Topic, error) {
	var wrong []hook.Violation
	cache, name := p.names(&wrong)
	return &hook.Topic{TenantID: tenant(ctx), Cache: cache, Name: name}, invalid(wrong)
}

// tokenID returns the token_id of the caller's key, which receivers see as the publisher.
func tokenID(ctx context.Context) string {
	key := principal(ctx)
	return key.TokenID
}

// invalidUTF8 returns the offset of the first byte of text that is not UTF-8; -1 if there is none.
func invalidUTF8(text string) int {
	if utf8.ValidString(text) {
		return -1
	}
	for i, r := range text {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(text[i:]); size == 1 {
				return i
			}
		}
	}
	return -1
}
