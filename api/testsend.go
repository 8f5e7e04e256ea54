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
	Data anyJSON `json:"data,omitempty" doc:"Default: a sample for the type, its example where it has a schema, which other data must meet."`
}

type testInput struct {
	IDPath
	RawBody []byte `contentType:"application/json"`
}

func (a *API) registerTestSend() {
	register(a, operation{
		id: "test-webhook", method: http.MethodPost, path: "/v1/webhooks/{id}/test", tag: tagStandard,
		scopes: []hook.Scope{hook.ScopeWebhooks}, summary: "Send a test event", raw: true, maxBody: rawRequestLimit, sends: true,
		description: "Sends one signed sample event, once, to an inactive webhook too, and waits for the outcome: the delivery with what came back. An answer closes an open breaker. " + byHandText + " The request has the header webhook-test: true (a momento webhook's has the message number 0 instead). The body is optional. Operational event types are not sent as tests; data of your own to a webhook that signs v1a needs the scope publish too.",
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

// testPublication is what a test of the webhook sends: the type and data given,
// or samples.
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

// checkTested refuses a test that would pass for something that its sender may not do.
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

// checkSignsForAccount refuses to send what the caller has chosen where it is signed v1a,
// unless the caller may publish. A secret is one webhook's, and its owner can sign with
// it; v1a says to everybody that the account has published this.
func checkSignsForAccount(ctx context.Context, w *hook.Webhook) error {
	key := principal(ctx)
	if !w.Signs(hook.SchemeV1a) || key.Allows(hook.ScopePublish) {
		return nil
	}
	return &hook.Error{Kind: hook.KindForbidden, Message: "the webhook signs v1a, with the account's key: to have data of your own signed, the API key needs the scope publish too; leave data out for a sample"}
}

// completeMessage makes the test of a Momento webhook a message of its topic.
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
		return err // it is canonical JSON
	}
	if len(text) > hook.MaxMessage {
		return &hook.Error{Kind: hook.KindTooLarge, Message: fmt.Sprintf("the message has %d bytes, more than %d", len(text), hook.MaxMessage)}
	}
	return nil
}

// sendTest stores a sample event, has it sent and returns the delivery with what
// has come of it: every surface's test comes here.
func (a *API) sendTest(ctx context.Context, w hook.Webhook, p hook.Publication) (hook.Delivery, error) {
	leave, err := a.limits.byHand(w.TenantID, time.Now())
	if err != nil {
		return hook.Delivery{}, err
	}
	defer leave()
	d, err := a.Store.CreateTest(ctx, w, p)
	if err != nil {
		return d, err
	}
	// What has been ordered goes on when the caller goes away, and so what has come
	// of the order is waited for.
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

// neverSent reports whether it is certain that a request was not made. Where it is
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
