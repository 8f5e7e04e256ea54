package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"grapnel/internal/hook"
)

type testStore interface {
	CreateTest(ctx context.Context, w hook.Webhook, p hook.Publication) (hook.Delivery, error)
	DropTest(ctx context.Context, d hook.Delivery) error
}

type testWebhookRequest struct {
	Type *string `json:"type,omitempty" maxLength:"128" doc:"Default: the webhook's first event type that is not operational." example:"user.created"`
	Data anyJSON `json:"data,omitempty" doc:"Default: a sample for the event type, or its example if it has a schema. Given data must meet the schema."`
}

type testInput struct {
	IDPath
	RawBody []byte `contentType:"application/json"`
}

func (a *API) registerTestSend() {
	register(a, operation{
		id: "test-webhook", portal: portalTest, method: http.MethodPost, path: "/v1/webhooks/{id}/test", tag: tagStandard,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Send a test event", raw: true, maxBody: rawRequestLimit, sends: true,
		description: "Sends one signed sample event, once, also to an inactive webhook, and waits for the outcome: the delivery with " +
			"the receiver's answer. An answer closes an open breaker. " + byHandText +
			" The request has the header webhook-test: true (the request of a momento webhook has the message number 0 " +
			"instead). The body is optional. Operational event types are not sent as tests. Your own data to a webhook that " +
			"signs v1a needs the scope publish too.",
		errors: []int{http.StatusNotFound, http.StatusConflict, http.StatusRequestEntityTooLarge},
		body:   a.jsonBody(testWebhookRequest{}, "TestWebhookRequest", false),
	}, a.testWebhook)
}

func (a *API) testWebhook(ctx context.Context, in *testInput) (*deliveryOutput, error) {
	w, err := a.webhook(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	var b testWebhookRequest
	if len(bytes.TrimSpace(in.RawBody)) > 0 {
		if err := readBody(in.RawBody, &b, refuseUnknown); err != nil {
			return nil, err
		}
	}
	p, err := a.testPublication(ctx, &w, b.Type, b.Data)
	if err != nil {
		return nil, err
	}
	d, err := a.sendTest(ctx, w, p)
	if err != nil {
		return nil, err
	}
	return a.deliveryDetail(ctx, d)
}

// testPublication returns the event of a test: with the given type and data, or with samples.
func (a *API) testPublication(ctx context.Context, w *hook.Webhook, eventType *string, data anyJSON) (hook.Publication, error) {
	key := principal(ctx)
	p := hook.Publication{TenantID: w.TenantID, Type: hook.SampleType(w), Data: data, Cache: w.Cache, TokenID: key.TokenID}
	switch {
	case w.Profile == hook.ProfileMomento:
		if err := completeMessage(&p, eventType); err != nil {
			return p, err
		}
	case eventType == nil:
	case w.Profile == hook.ProfileCommenda:
		p.Type = *eventType
		if problem := hook.TopicProblem(p.Type); problem != "" {
			return p, hook.Unprocessable("body.type", "%s", problem)
		}
	default:
		p.Type = *eventType
		if _, _, err := a.checkPublishedType(ctx, p.Type); err != nil {
			return p, err
		}
	}
	if err := checkTested(ctx, w, &p); err != nil {
		return p, err
	}
	if p.Cache == "" {
		if err := a.completeTest(ctx, &p); err != nil {
			return p, err
		}
	}
	return p, a.checkSize(&p)
}

// checkTested refuses a test that would look like an event which the caller may not publish.
func checkTested(ctx context.Context, w *hook.Webhook, p *hook.Publication) error {
	if p.Cache == "" {
		if err := checkNotOurs("body.type", p.Type); err != nil {
			return err
		}
	}
	if p.Data != nil {
		if err := checkSignsForAccount(ctx, w); err != nil {
			return err
		}
	}
	return checkAllowedTopic(ctx, p.Cache, p.Type)
}

// checkSignsForAccount refuses to send data of the caller's choice with a v1a signature, unless the caller may publish.
// A secret belongs to one webhook, whose owner can sign with it anyway; v1a proves to everybody that the account has
// published the data.
func checkSignsForAccount(ctx context.Context, w *hook.Webhook) error {
	key := principal(ctx)
	if !w.Signs(hook.SchemeV1a) || key.Allows(hook.ScopePublish) {
		return nil
	}
	return &hook.Error{Kind: hook.KindForbidden, Message: "the webhook signs v1a, with the account's key: to have data of your own signed, the API key needs the scope publish too; leave data out for a sample"}
}

// completeMessage turns the test of a Momento webhook into a message of its topic.
func completeMessage(p *hook.Publication, eventType *string) error {
	if eventType != nil && *eventType != p.Type {
		return hook.Unprocessable("body.type", "must be the webhook's topic")
	}
	switch {
	case p.Data == nil:
		p.Data = hook.SampleText()
	case p.Data[0] != '"':
		return hook.Unprocessable("body.data", "must be a string, the message's text")
	}
	var text string
	if err := json.Unmarshal(p.Data, &text); err != nil {
		return err // never: it is canonical JSON
	}
	if len(text) > hook.MaxMessage {
		return &hook.Error{Kind: hook.KindTooLarge, Message: fmt.Sprintf("the message has %d bytes, more than %d", len(text), hook.MaxMessage)}
	}
	return nil
}

// sendTest stores a sample event, sends it and returns the delivery with its outcome. All surfaces use it.
func (a *API) sendTest(ctx context.Context, w hook.Webhook, p hook.Publication) (hook.Delivery, error) {
	if w.SuspendedAt != nil {
		return hook.Delivery{}, hook.Suspended()
	}
	leave, err := a.limits.byHand(w.TenantID, time.Now())
	if err != nil {
		return hook.Delivery{}, err
	}
	defer leave()
	d, err := a.Store.CreateTest(ctx, w, p)
	if err != nil {
		return d, err
	}
	// A test that has been started goes on if the client disconnects, so its outcome is awaited in any case.
	send, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	if err := a.Sender.Send(send, d); err != nil {
		if neverSent(err) {
			a.dropTest(ctx, d)
		}
		return d, err
	}
	return a.Store.Delivery(ctx, d.TenantID, d.ID)
}

// neverSent reports whether it is certain that no request was made. Otherwise the delivery must stay for the outcome
// that may still arrive; the sweeper cancels it if none does.
func neverSent(err error) bool {
	if errors.Is(err, hook.ErrNotSent) {
		return true
	}
	kind := hook.KindOf(err) // the error of a refused start
	return kind == hook.KindConflict || kind == hook.KindPrecondition || kind == hook.KindNotFound
}

// dropTest removes a test that was not sent, even if the client has gone.
func (a *API) dropTest(ctx context.Context, d hook.Delivery) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Config.Timeout)
	defer cancel()
	if err := a.Store.DropTest(ctx, d); err != nil {
		a.Logger.WarnContext(ctx, "test not removed; the sweeper will cancel it", slog.String("delivery_id", d.ID.String()), slog.Any("error", err))
	}
}
