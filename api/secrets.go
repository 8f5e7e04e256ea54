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
		id: "get-webhook-secret", method: http.MethodGet, path: "/v1/webhooks/{id}/secret", tag: tagStandard, scopes: manage,
		summary: "Get a webhook's secret", errors: []int{http.StatusNotFound, http.StatusConflict},
		description: "The secret that signs now. A Commenda webhook's is not shown again.",
	}, a.getSecret)
	register(a, operation{
		id: "rotate-webhook-secret", method: http.MethodPost, path: "/v1/webhooks/{id}/secret/rotate", tag: tagStandard, scopes: manage,
		summary: "Rotate a webhook's secret", errors: []int{http.StatusNotFound},
		description: "The new secret signs every request from now on, retries too.",
	}, a.rotateSecret)
}

func (a *API) getSecret(ctx context.Context, in *IDPath) (*secretOutput, error) {
	w, err := a.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	if w.Profile == hook.ProfileCommenda {
		return nil, &hook.Error{Kind: hook.KindPrecondition, Message: "a Commenda webhook's key is shown only by the answer that makes it; rotate it to have a new one"}
	}
	return secretOf(&w), nil
}

func (a *API) rotateSecret(ctx context.Context, in *rotateSecretInput) (*secretOutput, error) {
	id, err := webhookID(in.ID)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.UpdateWebhook(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		w.Secret = generateSecret(w.Profile)
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
