package api

import (
	"context"
	"net/http"

	"grapnel/internal/hook"
)

// CommendaDelivery is a delivery with the ids that Commenda's surface shows.
type CommendaDelivery struct {
	ID        string `json:"id" format:"uuid" doc:"The delivery's id, also for /v1/deliveries." example:"019a961c-9b1f-7cee-bfe3-c29ff547dba1"`
	EventID   string `json:"event_id" format:"uuid" doc:"The id of the delivered event, which is the event object's id." example:"019a961c-9b1f-7cee-bfe3-c29ff547dba1"`
	WebhookID string `json:"webhook_id" format:"uuid" doc:"The webhook delivered to." example:"019a961c-9b1f-7cee-bfe3-c29ff547dba1"`
	Delivery
}

func (a *API) viewCommendaDelivery(ctx context.Context, d *hook.Delivery) CommendaDelivery {
	return CommendaDelivery{
		ID: d.ID.UUID(), EventID: d.EventID.UUID(), WebhookID: d.WebhookID.UUID(),
		Delivery: a.viewDelivery(ctx, d),
	}
}

// CommendaDeliveryDetail is a delivery with its attempts.
type CommendaDeliveryDetail struct {
	CommendaDelivery
	AttemptLog []Attempt `json:"attempt_log" doc:"Every attempt, oldest first."`
}

type commendaDeliveryList struct {
	DeletedWebhook
	Deliveries []CommendaDelivery `json:"deliveries" doc:"This page of deliveries, newest first."`
	NextCursor *string            `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page of a filtered list ends after a bounded search, so it may be short or empty although more pages follow." example:"AWQBmrHU6q9ekr-Xz5m6pYVu"`
}

type listCommendaDeliveriesOutput struct {
	Body commendaDeliveryList
}

func (a *API) registerCommendaDeliveries() {
	register(a, operation{
		id: "list-commenda-deliveries", portal: portalClosed, method: http.MethodGet, path: "/webhooks/{id}/deliveries", tag: tagCommenda, large: true,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, errors: []int{http.StatusNotFound},
		summary: "List a Commenda webhook's deliveries", description: "Newest first, including triggered ones: the log of /v1/webhooks/{id}/deliveries, also of a deleted webhook.",
	}, a.listCommendaDeliveries)
}

func (a *API) listCommendaDeliveries(ctx context.Context, in *listDeliveriesInput) (*listCommendaDeliveriesOutput, error) {
	w, err := a.loggedWebhook(ctx, in.ID)
	if err == nil && w.Profile != hook.ProfileCommenda {
		err = hook.NotFound("webhook")
	}
	if err != nil {
		return nil, err
	}
	views, next, err := deliveryPage(ctx, a, &w, &in.DeliveryQuery, a.viewCommendaDelivery)
	if err != nil {
		return nil, err
	}
	return &listCommendaDeliveriesOutput{Body: commendaDeliveryList{viewDeleted(&w), views, next}}, nil
}
