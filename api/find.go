package api

import (
	"context"
	"net/http"

	"grapnel/internal/hook"
)

type findStore interface {
	// Find returns what an id names, if it belongs to one of the tenants. Otherwise it is not found.
	Find(ctx context.Context, of hook.TenantFilter, id hook.ThingID) (hook.Thing, error)
}

// FoundThing is what an id names.
type FoundThing struct {
	Kind     string `json:"kind" enum:"delivery,event,webhook,replay,tenant" doc:"What the id names. webhook: also a deleted one while its log is kept." example:"delivery"`
	ID       string `json:"id" doc:"The id, in its form with a prefix." example:"del_01kab1s6rzfkqbzry2kztmfpx1"`
	TenantID string `json:"tenant_id" doc:"The tenant that it belongs to; of a tenant, its own id." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
}

type foundThings struct {
	Items []FoundThing `json:"items" doc:"What the id names: one thing, or none if the account has nothing with this id. A UUID may name several."`
}

type findIDInput struct {
	ID string `query:"id" required:"true" maxLength:"64" doc:"The id of a delivery (del_…), an event (evt_…), a webhook (hook_…), a replay (rpl_…) or a tenant (ten_…); or the UUID of a delivery, an event or a webhook." example:"del_01kab1s6rzfkqbzry2kztmfpx1"`
}

type findIDOutput struct {
	Body foundThings
}

func (a *API) registerFind() {
	register(a, operation{
		id: "find-id", portal: portalView, method: http.MethodGet, path: "/v1/find", tag: tagStandard, allTenants: true,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, summary: "Find what an id names",
		description: "Says what kind of thing an id names, and which tenant it belongs to. Reading a single thing acts for one tenant: " +
			"with Grapnel-Tenant: * an operator who has only an id finds out here for which. The list is empty if there is nothing with the id " +
			"that the caller may read.",
	}, a.findID)
}

func (a *API) findID(ctx context.Context, in *findIDInput) (*findIDOutput, error) {
	ids, err := hook.ParseThingIDs(in.ID)
	if err != nil {
		return nil, hook.Unprocessable("query.id", "%s", err)
	}
	out := &findIDOutput{Body: foundThings{Items: []FoundThing{}}}
	for _, id := range ids {
		found, err := a.Store.Find(ctx, listed(ctx), id)
		if hook.KindOf(err) == hook.KindNotFound || err == nil && !mayFind(ctx, &found) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out.Body.Items = append(out.Body.Items, FoundThing{string(found.Kind), found.String(), found.TenantID.String()})
	}
	return out, nil
}

// mayFind reports whether the caller's topics and caches let it read a thing, as its own read decides.
func mayFind(ctx context.Context, found *hook.Thing) bool {
	key := principal(ctx)
	switch found.Kind {
	case hook.ThingDelivery, hook.ThingEvent:
		return key.AllowsTopic(found.Cache, found.Topic)
	case hook.ThingWebhook:
		return key.AllowsCache(found.Cache)
	case hook.ThingReplay, hook.ThingTenant:
	}
	return true
}
