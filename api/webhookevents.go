package api

import (
	"context"
	"fmt"
	"slices"

	"grapnel/internal/hook"
)

// checkedEvents is what was found out about the events of a webhook.
type checkedEvents struct {
	// unknown are violations for the types that are not in the catalogue.
	unknown []hook.Violation
	// unmatched are warnings about patterns.
	unmatched []Warning
	// listed are the types that are in the catalogue and could be deleted from it.
	listed []string
}

// lookUpEvents finds the types that a webhook of the profile would subscribe to in the catalogue. Patterns may match types
// to come. Invalid names are left out, because the webhook's own validation refuses them.
func (a *API) lookUpEvents(ctx context.Context, profile hook.Profile, events []string) (found checkedEvents, err error) {
	if profile != hook.ProfileStandard || len(events) > hook.MaxEvents {
		return found, nil // topics of other profiles are free-form
	}
	var names []string
	for _, e := range events {
		if !hook.IsWildcard(e) && hook.TypeProblem(e) == "" {
			names = append(names, e)
		}
	}
	problems, _, err := a.lookUpTypes(ctx, names)
	for i, e := range events {
		switch problem := problems[e]; {
		case problem != "":
			found.unknown = append(found.unknown, hook.Violation{Location: fmt.Sprintf("body.events[%d]", i), Message: problem, Value: e})
		case slices.Contains(names, e) && !hook.IsBuiltIn(e):
			found.listed = append(found.listed, e)
		}
	}
	return found, err
}

// checkEvents finds out about the events that a webhook of the profile would subscribe to.
func (a *API) checkEvents(ctx context.Context, profile hook.Profile, events []string, places eventPlaces) (found checkedEvents, err error) {
	if found, err = a.lookUpEvents(ctx, profile, events); err != nil {
		return found, err
	}
	found.unmatched, err = a.unmatchedPatterns(ctx, profile, events, places)
	return found, err
}

// checkNewEvents is checkEvents for an update of a webhook; no events are no change. A webhook never changes its
// profile.
func (a *API) checkNewEvents(ctx context.Context, id hook.WebhookID, events []string, places eventPlaces) (found checkedEvents, err error) {
	if len(events) == 0 {
		return found, nil
	}
	w, err := a.Store.Webhook(ctx, tenant(ctx), id)
	if err != nil {
		return found, err
	}
	return a.checkEvents(ctx, w.Profile, events, places)
}

// mostHints bounds how many unknown names of a request are compared with the whole catalogue. Each takes about 10 ms
// with the largest catalogue.
const mostHints = 5

// lookUpTypes returns, by name, the problems of the names that are not in the catalogue, with a similar known name
// (S7), and the hashes of the schemas of the other names. It reads all names of the catalogue only if there is
// something to suggest.
func (a *API) lookUpTypes(ctx context.Context, names []string) (problems map[string]string, schemas map[string]hook.SchemaHash, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	unknown, schemas, err := a.Store.LookUpEventTypes(ctx, tenant(ctx), names)
	if err != nil {
		return nil, nil, err
	}
	problems, err = a.unknownTypes(ctx, tenant(ctx), unknown, mostHints)
	return problems, schemas, err
}

// unknownTypes returns the problems of names that are not in a tenant's catalogue. For the first of them, as many as hints, it
// suggests a similar name, for which it reads the catalogue.
func (a *API) unknownTypes(ctx context.Context, tenant hook.TenantID, unknown []string, hints int) (map[string]string, error) {
	if len(unknown) == 0 {
		return nil, nil //nolint:nilnil // there are none
	}
	var known []string
	if hints > 0 {
		var err error
		if known, err = a.knownTypes(ctx, tenant); err != nil {
			return nil, err
		}
	}
	problems := make(map[string]string, len(unknown))
	for i, name := range unknown {
		hint := ""
		if i < hints {
			if near := hook.Closest(name, known); near != "" {
				hint = fmt.Sprintf("did you mean %s? ", near)
			}
		}
		problems[name] = "is not a known event type; " + hint + "PUT /v1/event-types/{name} adds one"
	}
	return problems, nil
}

// knownTypes returns the names of a tenant's catalogue.
func (a *API) knownTypes(ctx context.Context, tenant hook.TenantID) ([]string, error) {
	own, err := a.Store.EventTypeNames(ctx, tenant)
	if err != nil {
		return nil, err
	}
	all := ours()
	names := make([]string, 0, len(all)+len(own))
	for i := range all {
		names = append(names, all[i].Name)
	}
	return append(names, own...), nil
}
