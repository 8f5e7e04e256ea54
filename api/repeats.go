package api

import (
	"context"
	"slices"

	"grapnel/internal/hook"
)

// A publish that repeats an accepted one under the same idempotency key is a duplicate, whatever has changed since: the
// schema, the size limit, the topics of the key (S8). The store looks the idempotency key up when it stores. Only for a
// publish that is refused before that, the key is looked up here, so that an accepted publish costs no second look-up.

// unlessRepeated returns the outcome of a publication. If the publication was refused but repeats an accepted one, that
// is the outcome of the accepted one.
func (a *API) unlessRepeated(ctx context.Context, p *hook.Publication, outcome hook.Accepted, err error) (hook.Accepted, error) {
	list, accepted, errs := []hook.Publication{*p}, []hook.Accepted{outcome}, []error{err}
	a.findRepeated(ctx, list, accepted, errs, hook.KindConflict)
	return accepted[0], errs[0]
}

// findRepeated is unlessRepeated for a list, with one look-up. Refusals of the kinds in settled stay as they are. If the
// look-up fails, its error becomes the outcome of the publications that were looked up.
func (a *API) findRepeated(ctx context.Context, list []hook.Publication, accepted []hook.Accepted, errs []error, settled ...hook.Kind) {
	var asked []hook.Publication
	var places []int
	for i := range list {
		if list[i].IdempotencyKey != "" && errs[i] != nil && isRefusal(errs[i]) && !slices.Contains(settled, hook.KindOf(errs[i])) {
			asked, places = append(asked, list[i]), append(places, i)
		}
	}
	if len(asked) == 0 {
		return
	}
	repeats, err := a.Store.Repeated(ctx, asked)
	for n, i := range places {
		switch {
		case err != nil:
			errs[i] = err
		case repeats[n].Accepted != nil:
			accepted[i], errs[i] = *repeats[n].Accepted, nil
		case repeats[n].Err != nil:
			errs[i] = repeats[n].Err
		}
	}
}
