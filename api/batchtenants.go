package api

import (
	"context"
	"slices"

	"grapnel/internal/hook"
	"grapnel/internal/schema"
)

// The events of a batch may be of several tenants (K5). What has to be known about tenants and types is looked up for all
// events together, so that a batch costs the same number of statements, however many tenants it is for.

// setTenants gives the publications whose events name a tenant that tenant. It notes in errs which events name none for which
// the key may act: an event alone is refused, as a request would be that names the tenant in its header (actFor). Such a
// publication has no tenant, so that nothing is looked up for another one. It returns the limits of the named tenants' events
// per second, nil for those without one of their own (K7).
func (a *API) setTenants(ctx context.Context, list []hook.Publication, named []*string, errs []error) (rates map[hook.TenantID]*int, err error) {
	key := principal(ctx)
	rates = map[hook.TenantID]*int{}
	var asked []string
	for i, name := range named {
		if errs[i] != nil || name == nil {
			continue
		}
		list[i].TenantID = hook.TenantID{}
		switch {
		case *name == "":
			errs[i] = hook.Unprocessable("body.tenant", "must not be empty: name a tenant, or leave it out")
		case *name == hook.EveryTenant && key.Platform():
			errs[i] = hook.Unprocessable("body.tenant", "must name one tenant: * is for lists")
		default:
			asked = append(asked, *name)
		}
	}
	if len(asked) == 0 {
		return rates, nil
	}
	slices.Sort(asked)
	found, err := a.Store.FindTenants(ctx, slices.Compact(asked))
	if err != nil {
		return nil, err
	}
	for i, name := range named {
		if errs[i] != nil || name == nil {
			continue
		}
		t, ok := found[*name]
		if !ok || t.ID != key.TenantID && !key.Platform() {
			errs[i] = noTenantAt("body.tenant")
			continue
		}
		list[i].TenantID, rates[t.ID] = t.ID, t.PublishRate
		if t.Suspended {
			errs[i] = hook.Suspended()
		}
	}
	return rates, nil
}

// noTenantAt is hook.NoTenant for a member that names the tenant.
func noTenantAt(location string) error {
	err := hook.NoTenant()
	err.Violations = []hook.Violation{{Location: location, Message: "is not the id or the external id of a tenant that the key may act for"}}
	return err
}

// typesByTenant collects event types of tenants, each once. The zero value is empty.
type typesByTenant struct {
	asked []hook.TypesAsked
	// places are the tenants' places in asked.
	places map[hook.TenantID]int
	seen   map[hook.TenantID]map[string]bool
}

func (t *typesByTenant) add(tenant hook.TenantID, name string) {
	if t.places == nil {
		t.places, t.seen = map[hook.TenantID]int{}, map[hook.TenantID]map[string]bool{}
	}
	at, ok := t.places[tenant]
	if !ok {
		at = len(t.asked)
		t.asked, t.places[tenant] = append(t.asked, hook.TypesAsked{TenantID: tenant}), at
		t.seen[tenant] = map[string]bool{}
	}
	if !t.seen[tenant][name] {
		t.seen[tenant][name] = true
		t.asked[at].Names = append(t.asked[at].Names, name)
	}
}

// knownOf is what is known about event types of a tenant, by their names.
type knownOf struct {
	problems map[string]string
	schemas  map[string]*schema.Schema
}

// lookUpTypesOf returns the problems of the types that are not in the catalogues of their tenants, and the schemas of the
// others. It suggests as few similar names as lookUpTypes does, over all tenants together.
func (a *API) lookUpTypesOf(ctx context.Context, names *typesByTenant) (map[hook.TenantID]knownOf, error) {
	if len(names.asked) == 0 {
		return nil, nil
	}
	found, err := a.Store.LookUpEventTypesOf(ctx, names.asked)
	if err != nil {
		return nil, err
	}
	known, hints := make(map[hook.TenantID]knownOf, len(found)), mostHints
	for i := range found {
		tenant := names.asked[i].TenantID
		problems, err := a.unknownTypes(ctx, tenant, found[i].Unknown, hints)
		if err != nil {
			return nil, err
		}
		hints = max(hints-len(found[i].Unknown), 0)
		schemas, err := a.compiled(ctx, tenant, found[i].Schemas)
		if err != nil {
			return nil, err
		}
		known[tenant] = knownOf{problems, schemas}
	}
	return known, nil
}
