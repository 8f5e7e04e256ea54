package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
	"grapnel/internal/schema"
	"grapnel/internal/tracing"
)

type publishEventRequest struct {
	Type       string   `json:"type" maxLength:"128" doc:"An event type of the catalogue." example:"user.created"`
	Data       anyJSON  `json:"data"`
	References []string `json:"references,omitempty" maxItems:"10" doc:"References by which the event and its deliveries are found, such as ids of an order or a customer. Each has 1 to 128 printable characters; repeated ones count once. They are not sent to receivers." example:"[\"order_4711\",\"cus_9\"]"`
	ID         *string  `json:"id,omitempty" minLength:"1" maxLength:"255" doc:"Your id of the event. Publishing the same id again within 24 hours gives the same answer with duplicate: true." example:"order-1234-paid"`
	Tenant     *string  `json:"tenant,omitempty" minLength:"1" maxLength:"255" doc:"The tenant of the event, by its id or your own id of it. Only in a batch; publish-event takes it from the header Grapnel-Tenant. A key that is no platform key can name its own tenant only." example:"customer-4711"`
}

type publishInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" doc:"The same as id in the body. Quoted, as a string of RFC 9651, it is the same as without the quotes."`
	RawBody        []byte `contentType:"application/json"`
}

// AcceptedEvent is the answer to a publish.
type AcceptedEvent struct {
	ID             string    `json:"id" doc:"The event's id in paths and in delivered bodies." example:"evt_01kab1s6rzfkqbzry2kztmfpx1"`
	Type           string    `json:"type" doc:"Its event type." example:"user.created"`
	CreatedAt      time.Time `json:"created_at" doc:"When it was published." example:"2026-01-15T12:30:00Z"`
	Deliveries     int       `json:"deliveries" doc:"How many webhooks the event matched." example:"1"`
	IdempotencyKey string    `json:"idempotency_key,omitempty" doc:"The id or Idempotency-Key given." example:"order-1234-paid"`
	Duplicate      bool      `json:"duplicate,omitempty" doc:"Whether this is the event of an earlier publish with the same id." example:"false"`
}

type publishOutput struct {
	Body AcceptedEvent
}

// rawRequestLimit bounds the body of a request with published data, in bytes. It is larger than any event may be,
// because the data may contain white space and escapes that the canonical form omits.
const rawRequestLimit = 2 << 20

func (a *API) registerPublish() {
	register(a, operation{
		id: "publish-event", portal: portalClosed, method: http.MethodPost, path: "/v1/events", tag: tagStandard, status: http.StatusAccepted,
		scopes: []hook.Scope{hook.ScopePublish}, summary: "Publish an event", maxBody: rawRequestLimit, raw: true, cachedKey: true, publishes: true,
		description: "202 means that the event is stored durably, with a delivery for every webhook that matches now. Delivery begins at once; the answer does not wait for it.",
		errors:      []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		body:        a.jsonBody(publishEventRequest{}, "PublishEventRequest", true),
	}, a.publish)
}

func (a *API) publish(ctx context.Context, in *publishInput) (*publishOutput, error) {
	p, malformed := readPublication(ctx, in.IdempotencyKey, in.RawBody)
	accepted, err := a.acceptListed(ctx, &p, malformed)
	fresh, again, failed := a.authenticateAgain(ctx, err)
	if failed != nil {
		return nil, failed
	}
	if again {
		ctx, p.TenantID = fresh, tenant(fresh)
		accepted, err = a.acceptListed(ctx, &p, malformed)
	}
	if accepted, err = a.unlessRepeated(ctx, &p, accepted, err); err != nil {
		return nil, err
	}
	return &publishOutput{Body: viewAccepted(&accepted, p.IdempotencyKey)}, nil
}

// acceptListed checks a publication of a type of the catalogue and accepts it. malformed is the error of reading the
// publication, which it returns if there is one.
func (a *API) acceptListed(ctx context.Context, p *hook.Publication, malformed error) (accepted hook.Accepted, err error) {
	if malformed != nil {
		return accepted, malformed
	}
	if err := checkActive(ctx); err != nil {
		return accepted, err
	}
	if err := checkNotOurs("body.type", p.Type); err != nil {
		return accepted, err
	}
	hashes, preconditions, err := a.checkPublishedType(ctx, p.Type)
	if err != nil {
		return accepted, err
	}
	schemas, err := a.compiled(ctx, p.TenantID, hashes)
	if err != nil {
		return accepted, err
	}
	p.Preconditions = preconditions
	return a.accept(ctx, *p, schemas[p.Type])
}

// readPublication reads one event from a request's body. Its idempotency key may also come in a header.
func readPublication(ctx context.Context, header string, raw []byte) (hook.Publication, error) {
	p, named, err := readEvent(ctx, header, raw)
	if err == nil && named != nil {
		return hook.Publication{}, hook.Unprocessable("body.tenant", "is for events of a batch; name the tenant in the header "+tenantHeader)
	}
	return p, err
}

// readEvent reads one event, and the tenant that it names; nil if it names none. Until that is looked up, the event is of
// the request's tenant.
func readEvent(ctx context.Context, header string, raw []byte) (p hook.Publication, named *string, err error) {
	var b publishEventRequest
	if err := readBody(raw, &b, refuseUnknown); err != nil {
		return p, nil, err
	}
	if err := required(map[string]bool{"type": b.Type != "", "data": b.Data != nil}); err != nil {
		return p, nil, err
	}
	references, err := readReferences(b.References)
	if err != nil {
		return p, nil, err
	}
	key, err := idempotencyKey(header, b.ID)
	p = hook.Publication{TenantID: tenant(ctx), Type: b.Type, Data: b.Data, IdempotencyKey: key, References: references}
	setHops(ctx, &p)
	return p, b.Tenant, err
}

// readReferences checks an event's references and returns each once.
func readReferences(given []string) ([]string, error) {
	if len(given) > hook.MaxReferences {
		return nil, hook.Unprocessable("body.references", "expected array length <= %d", hook.MaxReferences)
	}
	var list []string
	for i, r := range given {
		if problem := hook.ReferenceProblem(r); problem != "" {
			return nil, hook.Unprocessable(fmt.Sprintf("body.references[%d]", i), "%s", problem)
		}
		if !slices.Contains(list, r) {
			list = append(list, r)
		}
	}
	return list, nil
}

func viewAccepted(accepted *hook.Accepted, key string) AcceptedEvent {
	e := &accepted.Event
	return AcceptedEvent{
		ID: e.ID.String(), Type: e.Type, CreatedAt: seconds(e.CreatedAt), Deliveries: e.Deliveries,
		IdempotencyKey: ownKey(key), Duplicate: accepted.Duplicate,
	}
}

// accept checks a publication's size, depth and data, stores it and starts its workflow. s is the schema that the data
// must satisfy, or nil. The publish operations of all three surfaces use it.
func (a *API) accept(ctx context.Context, p hook.Publication, s *schema.Schema) (hook.Accepted, error) {
	if err := checkActive(ctx); err != nil {
		return hook.Accepted{}, err
	}
	if err := checkHops(&p); err != nil {
		return hook.Accepted{}, err
	}
	if err := a.checkSize(&p); err != nil {
		return hook.Accepted{}, err
	}
	if err := checkData(ctx, s, p.Data); err != nil {
		return hook.Accepted{}, err
	}
	if err := a.admit(ctx); err != nil {
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

// dispatch starts the workflow of an event that has deliveries. It also starts the drains of the webhooks for which the
// event has deferred deliveries, unless they are running.
func (a *API) dispatch(accepted *hook.Accepted) {
	if start, ok := accepted.Start(); ok {
		a.Dispatcher.Dispatch(start)
	}
	for _, webhook := range accepted.Undrained {
		a.Dispatcher.Drain(webhook)
	}
}

// checkSize refuses an event whose body would be larger than receivers accept (spec 2.4) in any profile: no webhook
// may miss an event that others get. A message of a topic is bounded by the limit of its request instead.
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

// checkNotOurs refuses operational event types. Subscribers rely on it that Grapnel alone publishes them.
func checkNotOurs(location, eventType string) error {
	if hook.IsOperational(eventType) {
		return hook.Unprocessable(location, "is an operational event type: its events are published by this service only")
	}
	return nil
}

// checkPublishedType reports whether the caller may publish events of a type, which must be in the catalogue. It also
// returns the hash of the type's schema by the type's name, and the preconditions of an event of that type.
func (a *API) checkPublishedType(ctx context.Context, name string) (map[string]hook.SchemaHash, hook.Preconditions, error) {
	if err := checkTypeName(name); err != nil {
		return nil, hook.Preconditions{}, err
	}
	schemas, preconditions, ok := a.cachedType(ctx, name)
	if ok {
		return schemas, preconditions, checkAllowed(ctx, name)
	}
	problems, schemas, err := a.lookUpTypes(ctx, []string{name})
	if err != nil {
		return nil, preconditions, err
	}
	return schemas, preconditions, checkListed(ctx, name, problems)
}

// checkListed refuses a type for which lookUpTypes found a problem, or which the key does not allow.
func checkListed(ctx context.Context, name string, problems map[string]string) error {
	if problem := problems[name]; problem != "" {
		return hook.Unprocessable("body.type", "%s", problem)
	}
	return checkAllowed(ctx, name)
}

// checkAllowed refuses a type that is not among the topics of the caller's key. It applies to test events too.
func checkAllowed(ctx context.Context, name string) error { return checkAllowedTopic(ctx, "", name) }

// checkAllowedTopic is checkAllowed for a topic of a cache.
func checkAllowedTopic(ctx context.Context, cache, name string) error {
	if key := principal(ctx); !key.AllowsTopic(cache, name) {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key may not publish events of this type"}
	}
	return nil
}
