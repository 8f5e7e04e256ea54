package api

import (
	"context"
	"net/http"

	"grapnel/internal/hook"
)

type webhookSecret struct {
	Secret string `json:"secret" doc:"Signs every request; its UTF-8 bytes are the key." example:"whsec_dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
}

type secretOutput struct {
	Body webhookSecret
}

type rotateSecretRequest struct {
	Secret *string `json:"secret,omitempty" minLength:"1" maxLength:"256" doc:"The new secret. Default: generated." example:"whsec_abc123..."`
}

type rotateSecretInput struct {
	IDPath
	Body *rotateSecretRequest
}

func (a *API) registerSecrets() {
	manage := []hook.Scope{hook.ScopeWebhooks}
	register(a, operation{
		id: "get-webhook-secret", method: http.MethodGet, path: "/v1/webhooks/{id}/secret", tag: tagWebhooks, scopes: manage,
		summary: "Get a webhook's secret", description: "The secret that signs now.", errors: []int{http.StatusNotFound},
	}, a.getSecret)
	register(a, operation{
		id: "rotate-webhook-secret", method: http.MethodPost, path: "/v1/webhooks/{id}/secret/rotate", tag: tagWebhooks, scopes: manage,
		summary: "Rotate a webhook's secret", errors: []int{http.StatusNotFound},
		description: "The new secret signs every request from now on, retries too.",
	}, a.rotateSecret)
}

func (a *API) getSecret(ctx context.Context, in *IDPath) (*secretOutput, error) {
	w, err := a.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return secretOf(&w), nil
}

func (a *API) rotateSecret(ctx context.Context, in *rotateSecretInput) (*secretOutput, error) {
	id, err := webhookID(in.ID)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.UpdateWebhook(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		w.Secret = generateSecret()
		if in.Body != nil && in.Body.Secret != nil {
			w.Secret = hook.Secret(*in.Body.Secret)
		}
		return w.Validate()
	})
	if err != nil {
		return nil, err
	}
	return secretOf(&w), nil
}

func secretOf(w *hook.Webhook) *secretOutput {
	return &secretOutput{Body: webhookSecret{w.Secret.Reveal()}}
}
