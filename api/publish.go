package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/schema"
	"grapnel/internal/tracing"
)

type publishEventRequest struct {
	Type string  `json:"type" maxLength:"128" doc:"An event type of the catalogue." example:"user.created"`
	Data anyJSON `json:"data"`
	ID   *string `json:"id,omitempty" minLength:"1" maxLength:"255" doc:"Your id of the event. Publishing it again within 24 hours gives the same answer with duplicate: true." example:"order-1234-paid"`
}

type publishInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" doc:"The same as id in the body. Quoted, as a string of RFC 9651, it is the same as without the quotes."`
	RawBody        []byte `contentType:"application/json"`
}

// AcceptedEvent is the answer to a publish.
type AcceptedEvent struct {
	ID             string    `json:"id" doc:"Names the event in paths and in delivered bodies." example:"evt_01kab1s6rzfkqbzry2kztmfpx1"`
	Type           string    `json:"type" doc:"Its event type." example:"user.created"`
	CreatedAt      time.Time `json:"created_at" doc:"When it was published." example:"2026-01-15T12:30:00Z"`
	Deliveries     int       `json:"deliveries" doc:"How many webhooks it matched." example:"1"`
	IdempotencyKey string    `json:"idempotency_key,omitempty" doc:"The id or Idempotency-Key given." example:"order-1234-paid"`
	Duplicate      bool      `json:"duplicate,omitempty" doc:"Whether an earlier publish with the same id stands for this one." example:"false"`
}

type publishOutput struct {
	Body AcceptedEvent
}

// rawRequestLimit bounds a request whose data may have white space and escapes
// that its canonical form has not.
const rawRequestLimit = 2 << 20

func (a *API) registerPublish() {
	register(a, operation{
		id: "publish-event", method: http.MethodPost, path: "/v1/events", tag: tagStandard, status: http.StatusAccepted,
		scopes: []hook.Scope{hook.ScopePublish}, summary: "Publish an event", maxBody: rawRequestLimit, raw: true, recalls: true, publishes: true,
		description: "202 means: stored durably, with a delivery for every webhook that matches now. Delivering begins at once and is not waited for.",
		errors:      []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		body:        a.jsonBody(publishEventRequest{}, "PublishEventRequest", true),
	}, a.publish)
}

func (a *API) publish(ctx context.Context, in *publishInput) (*publishOutput, error) {
	p, accepted, err := a.publishOne(ctx, in)
	fresh, again, failed := a.again(ctx, err)
	if failed != nil {
		return nil, failed
	}
	if again {
		ctx = fresh
		p, accepted, err = a.publishOne(ctx, in)
	}
	if accepted, err = a.unlessRepeated(ctx, &p, accepted, err); err != nil {
		return nil, err
	}
	return &publishOutput{Body: viewAccepted(&accepted, p.IdempotencyKey)}, nil
}

// publishOne reads a publication and accepts it. Where it is refused, p is what was read.
func (a *API) publishOne(ctx context.Context, in *publishInput) (p hook.Publication, accepted hook.Accepted, err error) {
	if p, err = readPublication(ctx, in.IdempotencyKey, in.RawBody); err != nil {
		return p, accepted, err
	}
	if err := checkNotOurs("body.type", p.Type); err != nil {
		return p, accepted, err
	}
	hashes, premises, err := a.checkPublishedType(ctx, p.Type)
	if err != nil {
		return p, accepted, err
	}
	schemas, err := a.compiled(ctx, hashes)
	if err != nil {
		return p, accepted, err
	}
	p.Preconditions = premises
	accepted, err = a.accept(ctx, p, schemas[p.Type])
	return p, accepted, err
}

// readPublication reads one event, whose key may also come in a header.
func readPublication(ctx context.Context, header string, raw []byte) (hook.Publication, error) {
	var b publishEventRequest
	if err := readBody(raw, &b, refuseUnknown); err != nil {
		return hook.Publication{}, err
	}
	if err := required(map[string]bool{"type": b.Type != "", "data": b.Data != nil}); err != nil {
		return hook.Publication{}, err
	}
	key, err := idempotencyKey(header, b.ID)
	p := hook.Publication{TenantID: tenant(ctx), Type: b.Type, Data: b.Data, IdempotencyKey: key}
	setHops(ctx, &p)
	return p, err
}

func viewAccepted(accepted *hook.Accepted, key string) AcceptedEvent {
	e := &accepted.Event
	return AcceptedEvent{
		ID: e.ID.String(), Type: e.Type, CreatedAt: seconds(e.CreatedAt), Deliveries: e.Deliveries,
		IdempotencyKey: ownKey(key), Duplicate: accepted.Duplicate,
	}
}

// accept stores a publication that meets the schema, if there is one, and has its
// workflow started: every surface's publish comes here.
func (a *API) accept(ctx context.Context, p hook.Publication, s *schema.Schema) (hook.Accepted, error) {
	if err := checkHops(&p); err != nil {
		return hook.Accepted{}, err
	}
	if err := a.checkSize(&p); err != nil {
		return hook.Accepted{}, err
	}
	if err := checkData(ctx, s, p.Data); err != nil {
		return hook.Accepted{}, err
	}
	ctx, end := a.Tracer.Publish(ctx, 1)
	p.Trace = tracing.Of(ctx)
	accepted, err := a.Store.Publish(ctx, p)
	if err != nil {
		end(nil, 1)
		return accepted, err
	}
	end([]hook.Accepted{accepted}, 0)
	a.dispatch(&accepted)
	return accepted, nil
}

// dispatch has the workflows of an event started that is to be delivered.
func (a *API) dispatch(accepted *hook.Accepted) {
	if start, ok := accepted.Start(); ok {
		a.Dispatcher.Dispatch(start)
	}
	for _, webhook := range accepted.Undrained {
		a.Dispatcher.Drain(webhook)
	}
}

// checkSize refuses what would make a body that receivers don't take (spec 2.4),
// whichever profile's webhooks it will be for: a webhook can't miss an event that
// others get. A message has a bound of its own, which is the request's.
func (a *API) checkSize(p *hook.Publication) error {
	if p.Cache != "" {
		return nil
	}
	if size := payload.LargestSize(p.Type, p.OrganizationID, p.Data); size > a.Config.MaxBody {
		return &hook.Error{Kind: hook.KindTooLarge, Message: fmt.Sprintf(
			"the largest body to deliver would be %d bytes, more than the %d that --max-body (GRAPNEL_MAX_BODY) lets receivers be sent", size, a.Config.MaxBody)}
	}
	return nil
}

func checkTypeName(name string) error {
	if problem := hook.TypeProblem(name); problem != "" {
		return hook.Unprocessable("body.type", "%s", problem)
	}
	return nil
}

// checkNotOurs refuses a type whose events we publish ourselves: who subscribes to it
// relies on that.
func checkNotOurs(location, eventType string) error {
	if hook.IsOperational(eventType) {
		return hook.Unprocessable(location, "is an operational event type: its events are published by this service only")
	}
	return nil
}

// checkPublishedType also tells the hash of the type's schema, by its name, and what an
// event of the type relies on.
func (a *API) checkPublishedType(ctx context.Context, name string) (map[string]hook.SchemaHash, hook.Preconditions, error) {
	if err := checkTypeName(name); err != nil {
		return nil, hook.Preconditions{}, err
	}
	schemas, premises, ok := a.recallType(ctx, name)
	if ok {
		return schemas, premises, checkAllowed(ctx, name)
	}
	problems, schemas, err := a.lookUpTypes(ctx, []string{name})
	if err != nil {
		return nil, premises, err
	}
	return schemas, premises, checkListed(ctx, name, problems)
}

// checkListed holds a type against what lookUpTypes said, and against the key.
func checkListed(ctx context.Context, name string, problems map[string]string) error {
	if problem := problems[name]; problem != "" {
		return hook.Unprocessable("body.type", "%s", problem)
	}
	return checkAllowed(ctx, name)
}

// checkAllowed holds a type against the key's list of topics, for tests too.
func checkAllowed(ctx context.Context, name string) error { return checkAllowedTopic(ctx, "", name) }

// checkAllowedTopic is checkAllowed for a topic of a cache.
func checkAllowedTopic(ctx context.Context, cache, name string) error {
	if key := principal(ctx); !key.AllowsTopic(cache, name) {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key may not publish events of this type"}
	}
	return nil
}
