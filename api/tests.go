package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"

	"grapnel/internal/hook"
)

type testStore interface {
	CreateTest(ctx context.Context, w hook.Webhook, eventType string, data []byte) (hook.Delivery, error)
	DropTest(ctx context.Context, d hook.Delivery) error
}

type testWebhookRequest struct {
	Type *string `json:"type,omitempty" maxLength:"128" doc:"Default: the webhook's first event type." example:"user.created"`
	Data anyJSON `json:"data,omitempty" doc:"Default: a sample for the type."`
}

type testInput struct {
	IDPath
	RawBody []byte `contentType:"application/json"`
}

func (a *API) registerTests() {
	register(a, operation{
		id: "test-webhook", method: http.MethodPost, path: "/v1/webhooks/{id}/test", tag: tagWebhooks,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Send a test event", raw: true, maxBody: rawRequestLimit,
		description: "Sends one signed sample event, once, to an inactive webhook too, and waits for the outcome: the delivery with what came back. The body is optional.",
		errors:      []int{http.StatusNotFound, http.StatusRequestEntityTooLarge},
		body:        a.jsonBody(testWebhookRequest{}, "TestWebhookRequest", false),
	}, a.testWebhook)
}

func (a *API) testWebhook(ctx context.Context, in *testInput) (*deliveryOutput, error) {
	w, err := a.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var b testWebhookRequest
	if len(bytes.TrimSpace(in.RawBody)) > 0 {
		if err := readBody(in.RawBody, &b); err != nil {
			return nil, err
		}
	}
	eventType := hook.SampleType(&w)
	if b.Type != nil {
		eventType = *b.Type
		if err := a.checkPublishedType(ctx, eventType); err != nil {
			return nil, err
		}
	}
	data := []byte(b.Data)
	if data == nil {
		data = hook.SampleData(eventType)
	}
	return a.sendTest(ctx, w, eventType, data)
}

// sendTest stores a sample event, has it sent and returns the delivery: every
// surface's test comes here.
func (a *API) sendTest(ctx context.Context, w hook.Webhook, eventType string, data []byte) (*deliveryOutput, error) {
	if err := a.checkSize(eventType, data); err != nil {
		return nil, err
	}
	d, err := a.Store.CreateTest(ctx, w, eventType, data)
	if err != nil {
		return nil, err
	}
	if err := a.Sender.Send(ctx, d); err != nil {
		// The caller may have gone; the test must go too.
		if drop := a.Store.DropTest(context.WithoutCancel(ctx), d); drop != nil {
			a.Logger.ErrorContext(ctx, "test not removed", slog.String("delivery_id", d.ID.String()), slog.Any("error", errors.Join(err, drop)))
		}
		return nil, err
	}
	return a.afterSending(ctx, d)
}
