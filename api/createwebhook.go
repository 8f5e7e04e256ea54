package api

import (
	"context"
	"crypto/sha256"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// making is a request to make a webhook.
type making[B any] struct {
	operation string
	// header is its idempotency key; empty for none.
	header string
	// request is its body, a struct.
	request any
	// webhook is what it wants to be made; view, the answer about that.
	webhook func() (hook.Webhook, error)
	view    func(*hook.Webhook) B
}

// makeWebhook makes the webhook. Under an idempotency key it does that once: for a day a
// repeat has the same answer, whatever has become of the webhook.
func makeWebhook[B any](ctx context.Context, a *API, m making[B]) (answer B, err error) {
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
	once := hook.RequestKey{TenantID: tenant(ctx), Operation: m.operation, Key: key, Request: sha256.Sum256(text)}
	// Before anything else can refuse it.
	kept, err := a.Store.KeptAnswer(ctx, once)
	if hook.KindOf(err) == hook.KindNotFound {
		var w hook.Webhook
		if w, err = m.webhook(); err != nil {
			return answer, err
		}
		kept, err = a.Store.CreateWebhookOnce(ctx, w, once, func(w hook.Webhook) ([]byte, error) { return json.Marshal(m.view(&w)) })
	}
	if err != nil {
		return answer, err
	}
	return answer, json.Unmarshal(kept, &answer)
}

func (a *API) createWebhook(ctx context.Context, in *createWebhookInput) (*createWebhookOutput, error) {
	var unmatched []Warning
	answer, err := makeWebhook(ctx, a, making[CreatedWebhook]{
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
	return &createWebhookOutput{Body: answer}, nil
}

// newWebhook is the webhook that a request describes, and what is odd about its events.
func (a *API) newWebhook(ctx context.Context, b *createWebhookRequest) (hook.Webhook, []Warning, error) {
	events, places := joinEvents("body.events", b.Events, "", nil)
	w := hook.Webhook{TenantID: tenant(ctx), URL: b.URL, Events: events, Active: true, Headers: secretHeaders(b.Headers)}
	if b.Profile != nil {
		w.Profile = hook.Profile(*b.Profile)
	}
	if b.Active != nil {
		setActive(&w, *b.Active)
	}
	if b.Paused != nil {
		w.Pause(*b.Paused, time.Now().UTC().Truncate(time.Microsecond))
	}
	if b.Secret == nil {
		w.Secret = secrets.NewWebhookSecret(w.Profile)
	}
	if b.TraceContext != nil {
		w.TraceContext = *b.TraceContext
	}
	w.Normalize()
	apply(&w, b.Description, b.Secret, b.Timeout, b.RateLimit, b.MaxAttempts)
	wrong := slices.Concat(setSchemes(&w, b.Schemes), newSecret(b.Secret), shownValues(b.Headers))
	unknown, unmatched, err := a.checkEvents(ctx, w.Profile, w.Events, places)
	if err != nil {
		return w, nil, err
	}
	if err := places.relocate(a.checkWebhook(&w, "", append(unknown, wrong...))); err != nil {
		return w, nil, err
	}
	return w, unmatched, checkCovered(ctx, &w)
}
