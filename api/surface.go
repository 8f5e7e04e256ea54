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

// webhooksFrom reads a list that a surface shows whole, up to what one answer may have: from
// a place on, the start where nothing is given, and no more than limit, if there is one. It
// returns what leads to the rest, a cursor of the kind; nil where there is none.
func (a *API) webhooksFrom(ctx context.Context, kind byte, f hook.WebhookFilter, in *WholePaging) (all []hook.Webhook, next *string, err error) {
	page, err := Paging{Limit: wholePage, Cursor: in.Cursor}.page(kind)
	if err != nil {
		return nil, nil, err
	}
	bytes := 0
	for {
		list, more, err := a.Store.Webhooks(ctx, tenant(ctx), f, page)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, list...)
		kept, size, cut := fit(all, webhookBytes)
		if in.Limit > 0 && len(kept) > in.Limit {
			kept, cut = kept[:in.Limit], true
		}
		if all, bytes, more = kept, size, more || cut; cut || !more || len(all) == in.Limit {
			answered(ctx, bytes)
			if more {
				next = nextCursor(kind, all[len(all)-1].ID)
			}
			return all, next, nil
		}
		last := [16]byte(list[len(list)-1].ID)
		page.Before = &last
	}
}

// WholePaging are the query parameters of lists that are shown whole where nothing is
// asked for; exported like IDPath.
type WholePaging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"How many entries at most. Default: all, as far as they are no more than 4 MiB."`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the page before; absent for the first page."`
}
