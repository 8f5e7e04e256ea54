package api

import (
	"context"
	"errors"
	"strings"

	"grapnel/internal/hook"
)

// Momento's and Commenda's surfaces name things their own way. What all surfaces
// share says "body.url"; relocated says it in a surface's words.

// relocated renames the places that an error names. names has the surface's name
// of a place, without which it keeps the one it has; what follows a place's name,
// as the index of a list does, stays.
func relocated(err error, names map[string]string) error {
	var e *hook.Error
	if !errors.As(err, &e) {
		return err
	}
	out := *e
	out.Violations = make([]hook.Violation, 0, len(e.Violations))
	for _, v := range e.Violations {
		for from, to := range names {
			if rest, ok := strings.CutPrefix(v.Location, from); ok && (rest == "" || strings.ContainsAny(rest[:1], ".[/")) {
				v.Location = to + rest
				break
			}
		}
		out.Violations = append(out.Violations, v)
	}
	return &out
}

// wholePage is how many webhooks are read at a time where all are shown.
const wholePage = 100

// allWebhooks reads every page of a list that a surface shows whole.
func (a *API) allWebhooks(ctx context.Context, f hook.WebhookFilter) ([]hook.Webhook, error) {
	var all []hook.Webhook
	page := hook.Page{Limit: wholePage}
	for {
		list, more, err := a.Store.Webhooks(ctx, tenant(ctx), f, page)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if !more {
			return all, nil
		}
		last := [16]byte(list[len(list)-1].ID)
		page.Before = &last
	}
}
