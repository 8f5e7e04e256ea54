package api

import (
	"fmt"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// Warning is about a value that was accepted and is probably a mistake.
type Warning struct {
	Location string `json:"location" doc:"The location of the value, as in errors." example:"body.secret"`
	Message  string `json:"message" doc:"What to think about." example:"webhook-signature carries no v1: the secret is not whsec_ and padded base64"`
}

// warned returns the view of a webhook that has just been changed, with its warnings and more.
func warned(w *hook.Webhook, more ...Warning) Webhook {
	v := viewWebhook(w)
	v.Warnings = append(warnings(w), more...)
	return v
}

// secretAt is the location of a secret in a request.
const secretAt = "body.secret"

// leastKey is the minimum length of a key of Standard Webhooks, in bytes ("Signature scheme").
const leastKey = 24

// weakSecret is the length in bytes below which a secret can be guessed from one request.
const weakSecret = 16

// warnings returns the warnings about a webhook's secret.
func warnings(w *hook.Webhook) []Warning {
	if w.Profile == hook.ProfileMomento {
		return nil // the secret is generated
	}
	var list []Warning
	add := func(format string, args ...any) { list = append(list, Warning{secretAt, fmt.Sprintf(format, args...)}) }
	key, ok := signing.StandardWebhooksKey(w.Secret.Reveal())
	switch v1 := w.Signs(hook.SchemeV1); {
	case v1 && !ok:
		add("webhook-signature carries no v1: the secret is not whsec_ and padded standard base64. X-Webhook-Signature is sent")
	case v1 && len(key) < leastKey:
		add("its key has %d bytes: Standard Webhooks libraries want %d at least", len(key), leastKey)
	}
	if len(w.Secret.Reveal()) < weakSecret {
		add("it is short enough to be guessed from one request: use %d random bytes or more", leastKey)
	}
	return list
}

// signsV1 reports whether requests carry a v1 signature.
func signsV1(w *hook.Webhook) bool {
	_, ok := signing.StandardWebhooksKey(w.Secret.Reveal())
	return ok && w.Signs(hook.SchemeV1)
}

// newSecret returns what is wrong with a secret that a client gives.
func newSecret(secret *string) []hook.Violation {
	if secret == nil {
		return nil
	}
	if problem := hook.NewSecretProblem(*secret); problem != "" {
		return []hook.Violation{{Location: secretAt, Message: problem}}
	}
	return nil
}
