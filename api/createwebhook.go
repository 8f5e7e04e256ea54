package api

import (
	"context"
	"crypto/sha256"

	"github.com/go-json-experiment/json"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// creation is a request to create a webhook. B is the type of its answer.
type creation[B any] struct {
	operation string
	// header is the request's idempotency key; empty for none.
	header string
	// request is the request's body, a struct.
	request any
	// webhook returns the webhook to create.
	webhook func() (hook.Webhook, error)
	// view returns the answer about the created webhook.
	view func(*hook.Webhook) B
}

// createOnce creates a webhook. With an idempotency key it does so at most once: for 24 hours a repeat of the request
// has the same answer, even if the webhook has been changed or deleted since.
func createOnce[B any](ctx context.Context, a *API, m creation[B]) (answer B, err error) {
	key, err := idempotencyKey(m.header, nil)
	if err != nil {
		return answer, err
	}
	if key == "" {
		w, err := m.webhook()
		if err != nil {
			return answer, err
		}
		if w, err = a.Store.CreateWebhook(ctx, w); err != nil {
			return answer, err
		}
		return m.view(&w), nil
	}
	text, err := json.Marshal(m.request, json.Deterministic(true))
	if err != nil {
		return answer, err
	}
	requestKey := hook.RequestKey{TenantID: tenant(ctx), Operation: m.operation, Key: key, Request: sha256.Sum256(text)}
	// A repeat is answered before anything can refuse it.
	stored, err := a.Store.KeptAnswer(ctx, requestKey)
	if hook.KindOf(err) == hook.KindNotFound {
		var w hook.Webhook
		if w, err = m.webhook(); err != nil {
			return answer, err
		}
		stored, err = a.Store.CreateWebhookOnce(ctx, w, requestKey, func(w hook.Webhook) ([]byte, error) { return json.Marshal(m.view(&w)) })
	}
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(stored, &answer)
}

func (a *API) createWebhook(ctx context.Context, in *createWebhookInput) (*createWebhookOutput, error) {
	var unmatched []Warning
	answer, err := createOnce(ctx, a, creation[CreatedWebhook]{
		operation: "create-webhook", header: in.IdempotencyKey, request: &in.Body,
		webhook: func() (w hook.Webhook, err error) {
			w, unmatched, err = a.newWebhook(ctx, &in.Body)
			return w, err
		},
		view: func(w *hook.Webhook) CreatedWebhook {
			return CreatedWebhook{warned(w, unmatched...), w.Secret.Reveal()}
		},
	})
	if err != nil {
		return nil, err
	}
	if !seesSecrets(ctx) { // also of an answer that was kept for the idempotency key of another caller
		answer.Secret = hook.Secret(answer.Secret).String()
	}
	return &createWebhookOutput{Body: answer}, nil
}

// newWebhook returns the webhook that a request describes, and warnings about its events.
func (a *API) newWebhook(ctx context.Context, b *createWebhookRequest) (hook.Webhook, []Warning, error) {
	events, places := joinEvents("body.events", b.Events, "", nil)
	w := hook.Webhook{TenantID: tenant(ctx), Active: true}
	if b.Profile != nil {
		w.Profile = hook.Profile(*b.Profile)
	}
	if b.Secret == nil {
		w.Secret = secrets.NewWebhookSecret(w.Profile)
	}
	c := webhookChange{
		URL: &b.URL, Events: events, Active: b.Active, Paused: b.Paused, Description: b.Description, Secret: b.Secret, Headers: &b.Headers,
		Timeout: b.Timeout, RateLimit: b.RateLimit, TraceContext: b.TraceContext, MaxAttempts: b.MaxAttempts, Schemes: b.Schemes,
	}
	wrong := c.Apply(&w)
	found, err := a.checkEvents(ctx, w.Profile, w.Events, places)
	if err != nil {
		return w, nil, err
	}
	w.Listed = found.listed
	if err := places.relocate(a.checkWebhook(&w, "", append(found.unknown, wrong...))); err != nil {
		return w, nil, err
	}
	return w, found.unmatched, checkCovered(ctx, &w)
}
