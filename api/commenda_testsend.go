package api

import (
	"bytes"
	"context"
	"net/http"

	"grapnel/internal/hook"
)

type triggerCommendaWebhookRequest struct {
	_         struct{} `json:"-" additionalProperties:"true"`
	EventData anyJSON  `json:"event_data,omitempty" doc:"The event object's data, any JSON value but null. Default: a sample."`
	Topic     *string  `json:"topic,omitempty" doc:"Default: the webhook's first topic." example:"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED"`
}

type commendaWebhookTriggered struct {
	Message string                 `json:"message" doc:"What has been done." example:"Successfully triggered webhook."`
	Data    CommendaDeliveryDetail `json:"data" doc:"The delivery with the receiver's answer."`
}

type triggerCommendaWebhookOutput struct {
	Body commendaWebhookTriggered
}

func (a *API) registerCommendaTestSend() {
	register(a, operation{
		id: "trigger-commenda-webhook", portal: portalClosed, method: http.MethodPost, path: "/webhooks/test/trigger/{id}", tag: tagCommenda,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Trigger a Commenda webhook", raw: true, maxBody: rawRequestLimit, sends: true,
		description: "Sends one signed event object, once, also to a disabled webhook, and waits for the outcome. " +
			byHandText + " The request has the header webhook-test: true. The body is optional.",
		errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge},
		body:   a.jsonBody(triggerCommendaWebhookRequest{}, "TriggerCommendaWebhookRequest", false),
	}, a.triggerCommendaWebhook)
}

func (a *API) triggerCommendaWebhook(ctx context.Context, in *testInput) (*triggerCommendaWebhookOutput, error) {
	w, err := a.commendaWebhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var b triggerCommendaWebhookRequest
	if len(bytes.TrimSpace(in.RawBody)) > 0 {
		if err := readBody(in.RawBody, &b, ignoreUnknown); err != nil {
			return nil, err
		}
	}
	if string(b.EventData) == "null" {
		b.EventData = nil // null is the same as absent (C5)
	}
	p, err := a.testPublication(ctx, &w, b.Topic, b.EventData)
	if err != nil {
		return nil, relocated(err, map[string]string{"body.type": "body.topic", "body.data": "body.event_data", "body/data": "body/event_data"})
	}
	d, err := a.sendTest(ctx, w, p)
	if err != nil {
		return nil, err
	}
	detail, err := a.deliveryDetail(ctx, d)
	if err != nil {
		return nil, err
	}
	return &triggerCommendaWebhookOutput{Body: commendaWebhookTriggered{
		Message: "Successfully triggered webhook.",
		Data:    CommendaDeliveryDetail{a.viewCommendaDelivery(ctx, &d), detail.Body.AttemptLog},
	}}, nil
}
