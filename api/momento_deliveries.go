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
		id: "list-momento-deliveries", method: http.MethodGet, path: "/caches/{cacheName}/webhooks/{webhookName}/deliveries", tag: tagMomento,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, errors: []int{http.StatusNotFound},
		summary: "List a topic webhook's deliveries", description: "Newest first, test deliveries too: the log of /v1/webhooks/{id}/deliveries.",
	}, a.listMomentoDeliveries)
}

func (a *API) listMomentoDeliveries(ctx context.Context, in *listMomentoDeliveriesInput) (*listDeliveriesOutput, error) {
	id, err := a.webhookNamed(ctx, &in.WebhookPath)
	if err != nil {
		return nil, err
	}
	deliveries, next, err := a.deliveries(ctx, &hook.Webhook{ID: id, Cache: hook.TrimName(in.CacheName)}, &in.DeliveryQuery)
	if err != nil {
		return nil, err
	}
	return &listDeliveriesOutput{Body: deliveryList{a.viewDeliveries(deliveries), next}}, nil
}
