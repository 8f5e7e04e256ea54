package api

import (
	"context"
	"net/http"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/internal/signing"
)

type webhookSecret struct {
	Secret       string     `json:"secret" doc:"Signs every request; its UTF-8 bytes are the key." example:"whsec_dGhpcyBpcyBhIHNlY3JldCBmb3IgZXhhbXBsZXM="`
	Warnings     []Warning  `json:"warnings,omitempty" doc:"Values that are valid and probably meant differently."`
	OverlapUntil *time.Time `json:"overlap_until,omitempty" doc:"Until when an old secret signs as well: webhook-signature carries a signature of each. Absent if this secret signs alone." example:"2026-01-16T12:00:00Z"`
	SingleUntil  *time.Time `json:"single_value_until,omitempty" doc:"Until when the headers with one value carry the old secret's signature. Absent if they carry this secret's." example:"2026-01-16T12:00:00Z"`
}

type secretOutput struct {
	Body webhookSecret
}

type rotateSecretRequest struct {
	Secret  *string `json:"secret,omitempty" minLength:"8" maxLength:"256" doc:"The new secret. Default: generated." example:"whsec_abc123..."`
	Overlap *int    `json:"overlap_seconds,omitempty" minimum:"0" maximum:"604800" doc:"How long webhook-signature carries signatures by both the old and the new secret, in seconds. Default: 86400, a day. 0: the new secret signs alone from now on, and overlaps of earlier rotations end too. Profiles with a single signature, and secrets other than whsec_ and base64, have no overlap, unless single_value is old." example:"86400"`
	Single  *string `json:"single_value,omitempty" enum:"new,old" doc:"Which secret signs the headers with one value during the overlap: X-Webhook-Signature, and those of the other profiles. new: the new secret, from now on; receivers that verify them must know it already. old: the present secret, until its overlap ends. Default: new." example:"old"`
}

type rotateSecretInput struct {
	IDPath
	Body *rotateSecretRequest
}

func (a *API) registerSecrets() {
	manage := []hook.Scope{hook.ScopeWebhooks}
	register(a, operation{
		id: "get-webhook-secret", portal: portalSecrets, method: http.MethodGet, path: "/v1/webhooks/{id}/secret", tag: tagStandard, scopes: manage,
		summary: "Get a webhook's secret", errors: []int{http.StatusNotFound, http.StatusConflict},
		description: "The secret that signs now. The secret of a Commenda webhook is not shown again.",
	}, a.getSecret)
	register(a, operation{
		id: "rotate-webhook-secret", portal: portalSecrets, method: http.MethodPost, path: "/v1/webhooks/{id}/secret/rotate", tag: tagStandard, scopes: manage,
		summary: "Rotate a webhook's secret", errors: []int{http.StatusNotFound, http.StatusConflict},
		description: "The new secret signs every request from now on, including retries. During the overlap webhook-signature carries a signature by the old secret as well, so that receivers can change over. X-Webhook-Signature and the headers of the other profiles have room for one signature: by the new secret at once, or with single_value old when the overlap ends. A rotation during an overlap ends no earlier overlap: each secret signs until its own time. More than 4 old secrets at once are refused with 409.",
	}, a.rotateSecret)
}

func (a *API) getSecret(ctx context.Context, in *IDPath) (*secretOutput, error) {
	id, err := webhookID(in.ID)
	if err != nil {
		return nil, err
	}
	w, err := a.Store.WebhookForSecret(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		if w.Profile == hook.ProfileCommenda {
			return &hook.Error{Kind: hook.KindPrecondition, Message: "a Commenda webhook's key is shown only by the answer that makes it; rotate it to have a new one"}
		}
		return nil
	})
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
	if in.Body != nil {
		if err := invalid(newSecret(in.Body.Secret)); err != nil {
			return nil, err
		}
	}
	w, err := a.Store.UpdateWebhook(ctx, tenant(ctx), id, func(w *hook.Webhook) error {
		secret, overlap, later := secrets.NewWebhookSecret(w.Profile), hook.DefaultOverlap, false
		if in.Body != nil && in.Body.Secret != nil {
			secret = hook.Secret(*in.Body.Secret)
		}
		if in.Body != nil && in.Body.Overlap != nil {
			overlap = time.Duration(*in.Body.Overlap) * time.Second
		}
		if in.Body != nil && in.Body.Single != nil {
			later = *in.Body.Single == singleOld
		}
		if err := rotate(w, secret, overlap, later, time.Now()); err != nil {
			return err
		}
		return w.Validate()
	})
	if err != nil {
		return nil, err
	}
	out := secretOf(&w)
	out.Body.Warnings = warnings(&w)
	return out, nil
}

// singleOld makes the headers with one value go on with the previous secret.
const singleOld = "old"

// rotate gives a webhook a new secret. With later, the headers with one value change to it at the end of the overlap.
// Without later, the previous secret is dropped if it has no signature that can stand beside that of the new one.
func rotate(w *hook.Webhook, secret hook.Secret, overlap time.Duration, later bool, now time.Time) error {
	if later && overlap == 0 {
		return hook.Unprocessable("body.single_value", "the old secret needs an overlap: overlap_seconds must be over 0")
	}
	if later {
		return w.RotateLater(secret, now, now.Add(overlap))
	}
	if overlap == 0 {
		w.Replace(secret)
		return nil
	}
	until := now
	if _, ok := signing.StandardWebhooksKey(w.Secret.Reveal()); ok && w.Signs(hook.SchemeV1) {
		until = now.Add(overlap)
	}
	return w.Rotate(secret, now, until)
}

func secretOf(w *hook.Webhook) *secretOutput {
	now := time.Now()
	out := &secretOutput{Body: webhookSecret{Secret: w.Secret.Reveal()}}
	if until := w.OverlapUntil(now); !until.IsZero() {
		until = seconds(until)
		out.Body.OverlapUntil = &until
	}
	if until := w.SingleValueUntil(now); !until.IsZero() {
		until = seconds(until)
		out.Body.SingleUntil = &until
	}
	return out
}
