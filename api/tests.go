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
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Send a test event", raw: true, maxBody: rawRequestLimit, sends: true,
		description: "Sends one signed sample event, once, to an inactive webhook too, and waits for the outcome: the delivery with what came back. The body is optional.",
		errors:      []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge},
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
	eventType, check := hook.SampleType(&w), checkAllowed
	if b.Type != nil {
		eventType, check = *b.Type, a.checkPublishedType
	}
	if err := check(ctx, eventType); err != nil {
		return nil, err
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
	if err := a.checkSize(eventType, "", data); err != nil {
		return nil, err
	}
	d, err := a.Store.CreateTest(ctx, w, eventType, data)
	if err != nil {
		return nil, err
	}
	// What has been ordered goes on when the caller goes away, and so what has come
	// of the order is waited for.
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if err := a.Sender.Send(send, d); err != nil {
		if neverSent(err) {
			a.dropTest(ctx, d)
		}
		return nil, err
	}
	return a.afterSending(ctx, d)
}

// neverSent tells whether it is certain that a request was not made. Where it is
// not, the row must stay for the outcome that may still come; the sweeper cancels
// what none comes for.
func neverSent(err error) bool {
	if errors.Is(err, hook.ErrNotSent) {
		return true
	}
	kind := hook.KindOf(err) // of an order that was refused
	return kind == hook.KindConflict || kind == hook.KindPrecondition || kind == hook.KindNotFound
}

// dropTest removes a test that was not sent; the caller may have gone.
func (a *API) dropTest(ctx context.Context, d hook.Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Config.Timeout)
	defer cancel()
	if err := a.Store.DropTest(ctx, d); err != nil {
		a.Logger.WarnContext(ctx, "test not removed; the sweeper will cancel it", slog.String("delivery_id", d.ID.String()), slog.Any("error", err))
	}
}
