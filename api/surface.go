package api

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"grapnel/internal/hook"
)

// Momento's and Commenda's surfaces have their own names for members. Code that all surfaces share reports errors at
// body.url; relocated translates that to the surface's name.

// relocated renames the locations in an error. names maps a location to the surface's name of it; other locations stay.
// A suffix, such as the index in a list, stays too.
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

// eventPlaces has the location in the request of each of a webhook's events, from which repetitions have been removed.
type eventPlaces []string

// joinEvents joins a list of events and a single one, without repetitions.
func joinEvents(listAt string, list []string, oneAt string, one *string) (joined []string, places eventPlaces) {
	add := func(name, place string) {
		// One event too many is enough to have the webhook refused.
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

// relocate renames the locations of events in an error to those in the request.
func (p eventPlaces) relocate(err error) error {
	given := make(map[string]string, len(p))
	for i, place := range p {
		given[fmt.Sprintf("body.events[%d]", i)] = place
	}
	return relocated(err, given)
}

// wholePage is how many webhooks are read at a time if all are shown.
const wholePage = 100

// webhooksFrom reads a list that a surface shows whole, up to the size of one answer. It begins at the cursor, or at
// the start without one, and returns at most limit webhooks if there is a limit. next is the cursor of the rest; nil if
// there is none.
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

// WholePaging holds the query parameters of lists that are shown whole by default. It is exported for the same reason
// as IDPath.
type WholePaging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" doc:"Largest number of entries. Default: all, up to 4 MiB."`
	Cursor string `query:"cursor" maxLength:"200" doc:"next_cursor of the previous page. Absent: the first page."`
}
