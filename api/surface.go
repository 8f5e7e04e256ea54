package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// eventPlaces tells where each of a webhook's events was given, whose repetitions
// have been dropped.
type eventPlaces []string

// joinEvents makes one list, without repetitions, of a list and of one more.
func joinEvents(listAt string, list []string, oneAt string, one *string) (joined []string, places eventPlaces) {
	add := func(name, place string) {
		// One too many is enough to refuse them all.
		if len(joined) <= hook.MaxEvents && !slices.Contains(joined, name) {
			joined, places = append(joined, name), append(places, place)
		}
	}
	for i, name := range list {
		add(name, fmt.Sprintf("%s[%d]", listAt, i))
	}
	if one != nil {
		add(*one, oneAt)
	}
	return joined, places
}

// relocate makes an error of a webhook's check name places of the request.
func (p eventPlaces) relocate(err error) error {
	given := make(map[string]string, len(p))
	for i, place := range p {
		given[fmt.Sprintf("body.events[%d]", i)] = place
	}
	return relocated(err, given)
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
