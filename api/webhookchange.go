package api

import (
	"context"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// webhookChange holds the values that a request gives to a webhook. nil leaves a value as it is. The operations that
// create and update webhooks use it on all three surfaces.
type webhookChange struct {
	URL          *string
	Events       []string
	Active       *bool
	Paused       *bool
	Description  *string
	Secret       *string
	Headers      *map[string]string
	Timeout      *int // seconds
	RateLimit    *int // requests per second
	TraceContext *bool
	MaxAttempts  *int
	Schemes      []string
	// Nulls names the members of the request that are null, which removes the values that a webhook need not have.
	Nulls []string
}

// Apply sets the values in w and normalizes it. It returns the values that no webhook may be given; checkWebhook
// decides whether w as a whole is valid.
func (c *webhookChange) Apply(w *hook.Webhook) (wrong []hook.Violation) {
	if c.URL != nil {
		w.URL = *c.URL
	}
	if c.Events != nil {
		w.Events = c.Events
	}
	if c.Active != nil {
		setActive(w, *c.Active)
	}
	if c.Paused != nil {
		w.Pause(*c.Paused, time.Now().UTC().Truncate(time.Microsecond))
	}
	wrong = takeAway(w, c.Nulls)
	if c.Headers != nil {
		w.Headers = secretHeaders(*c.Headers)
		wrong = append(wrong, shownValues(*c.Headers)...)
	}
	if c.TraceContext != nil {
		w.TraceContext = *c.TraceContext
	}
	w.Normalize() // sets defaults, which the values below replace
	c.applyLimits(w)
	if c.Description != nil {
		w.Description = *c.Description
	}
	if c.Secret != nil {
		w.Replace(hook.Secret(*c.Secret))
	}
	return slices.Concat(wrong, setSchemes(w, c.Schemes), newSecret(c.Secret))
}

func (c *webhookChange) applyLimits(w *hook.Webhook) {
	if c.Timeout != nil {
		w.Timeout = time.Duration(*c.Timeout) * time.Second
	}
	if c.RateLimit != nil {
		w.RateLimit = *c.RateLimit
	}
	if c.MaxAttempts != nil {
		w.MaxAttempts = *c.MaxAttempts
	}
}

// update applies the change to a stored webhook and checks the result. wrong has the other mistakes of the request.
// anew says how the client can give the custom headers again if the webhook moves to another origin without them.
func (a *API) update(ctx context.Context, w *hook.Webhook, c *webhookChange, wrong []hook.Violation, anew headersAnew) error {
	before := *w
	wrong = append(c.Apply(w), wrong...)
	if c.Headers == nil {
		wrong = append(wrong, a.movedHeaders(w, before.URL, anew)...)
	}
	if err := a.checkWebhook(w, before.URL, wrong); err != nil {
		return err
	}
	return checkRerouted(ctx, &before, w)
}

// setActive activates or deactivates a webhook for its client.
func setActive(w *hook.Webhook, active bool) {
	switch {
	case active && !w.Active:
		w.Active, w.DisabledReason, w.Health = true, "", hook.HealthHealthy
	case !active && w.Active:
		w.Active, w.DisabledReason = false, hook.ReasonByClient
	}
}
