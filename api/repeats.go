package api

import (
	"context"

	"grapnel/internal/hook"
)

// What was accepted under an idempotency key is a duplicate when it comes again, whatever
// has changed since: the schema, the size limit, the topics of the key (S8). The store
// looks the key up when it stores; what would be refused before that is looked up here, so
// that what is not refused costs nothing more.

// unlessRepeated is the outcome of a publication: where that was refused, and the
// publication repeats one that was accepted, it is that one's.
func (a *API) unlessRepeated(ctx context.Context, p *hook.Publication, outcome hook.Accepted, err error) (hook.Accepted, error) {
	list, accepted, errs := []hook.Publication{*p}, []hook.Accepted{outcome}, []error{err}
	a.findRepeated(ctx, list, accepted, errs)
	return accepted[0], errs[0]
}

// findRepeated is unlessRepeated for several, with one look. Where the store can't say,
// that is the outcome of those that were to be looked up.
func (a *API) findRepeated(ctx context.Context, list []hook.Publication, accepted []hook.Accepted, errs []error) {
	var asked []hook.Publication
	var places []int
	for i := range list {
		if list[i].IdempotencyKey != "" && errs[i] != nil && isRefusal(errs[i]) && hook.KindOf(errs[i]) != hook.KindConflict {
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
