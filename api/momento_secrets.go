package api

import (
	"context"
	"net/http"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

type momentoSecret struct {
	Secret      string `json:"secret" doc:"Signs every request; its UTF-8 bytes are the key of the HMAC." example:"dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
	WebhookName string `json:"webhookName" doc:"The webhook's name within the cache." example:"translator"`
	CacheName   string `json:"cacheName" doc:"The cache to which the webhook belongs." example:"chat"`
}

type momentoSecretOutput struct {
	Body momentoSecret
}

func (a *API) registerMomentoSecrets() {
	manage := []hook.Scope{hook.ScopeWebhooks}
	register(a, operation{
		id: "get-momento-webhook-secret", portal: portalClosed, method: http.MethodGet, path: "/caches/{cacheName}/webhooks/{webhookName}/secret", tag: tagMomento,
		scopes: manage, errors: []int{http.StatusNotFound},
		summary: "Get a topic webhook's secret", description: "The secret that signs now.",
	}, a.getMomentoSecret)
	register(a, operation{
		id: "rotate-momento-webhook-secret", portal: portalClosed, method: http.MethodPost, path: "/caches/{cacheName}/webhooks/{webhookName}/secret/rotate", tag: tagMomento,
		scopes: manage, errors: []int{http.StatusNotFound},
		summary: "Rotate a topic webhook's secret", description: "The new secret signs every request from now on. A body is ignored.",
	}, a.rotateMomentoSecret)
}

func (a *API) getMomentoSecret(ctx context.Context, in *WebhookPath) (*momentoSecretOutput, error) {
	id, err := a.webhookNamed(ctx, in)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.WebhookForSecret(ctx, tenant(ctx), id, anySecret)
	if err != nil {
		return nil, err
	}
	return momentoSecretOf(&w), nil
}

// anySecret allows to show the secret of any webhook.
func anySecret(*hook.Webhook) error { return nil }

func (a *API) rotateMomentoSecret(ctx context.Context, in *WebhookPath) (*momentoSecretOutput, error) {
	id, err := a.webhookNamed(ctx, in)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.UpdateWebhook(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		w.Replace(secrets.NewWebhookSecret(w.Profile))
		return nil
	})
	if err != nil {
		return nil, err
	}
	return momentoSecretOf(&w), nil
}

func momentoSecretOf(w *hook.Webhook) *momentoSecretOutput {
	return &momentoSecretOutput{Body: momentoSecret{Secret: w.Secret.Reveal(), WebhookName: w.Name, CacheName: w.Cache}}
}
