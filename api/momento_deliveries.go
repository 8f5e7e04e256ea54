package api

import (
	"context"
	"net/http"

	"grapnel/internal/hook"
)

type listMomentoDeliveriesInput struct {
	WebhookPath
	DeliveryQuery
}

func (a *API) registerMomentoDeliveries() {
	register(a, operation{
		id: "list-momento-deliveries", portal: portalClosed, method: http.MethodGet, path: "/caches/{cacheName}/webhooks/{webhookName}/deliveries", tag: tagMomento, large: true,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, errors: []int{http.StatusNotFound},
		summary: "List a topic webhook's deliveries", description: "Newest first, including test deliveries: the log of /v1/webhooks/{id}/deliveries. After the webhook was deleted, this is the log of the last webhook of that name.",
	}, a.listMomentoDeliveries)
}

func (a *API) listMomentoDeliveries(ctx context.Context, in *listMomentoDeliveriesInput) (*listDeliveriesOutput, error) {
	var wrong []hook.Violation
	cache, name := in.names(&wrong)
	if err := invalid(wrong); err != nil {
		return nil, err
	}
	w, err := a.Store.LoggedWebhookNamed(ctx, tenant(ctx), cache, name)
	if err != nil {
		return nil, err
	}
	return a.listLog(ctx, &w, &in.DeliveryQuery)
}
