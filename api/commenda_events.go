package api

import (
	"context"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"grapnel/internal/hook"
	"grapnel/internal/payload"
)

type publishCommendaEventRequest struct {
	_              struct{} `json:"-" additionalProperties:"true"`
	Topic          *string  `json:"topic" nullable:"false" minLength:"1" maxLength:"128" doc:"Any string without control characters or surrounding spaces." example:"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED"`
	Data           anyJSON  `json:"data"`
	OrganizationID *string  `json:"organization_id,omitempty" maxLength:"255" doc:"Copied into event objects unchanged. Default: empty." example:"c2710df6-c6cf-4cd0-aa38-63faa44f16bc"`
	ID             *string  `json:"id,omitempty" minLength:"1" maxLength:"255" doc:"The same as the header Idempotency-Key. Event objects have an id of their own." example:"registration-4711-done"`
}

type publishCommendaEventInput struct {
	IdempotencyKey string `header:"Idempotency-Key" maxLength:"512" doc:"Your id of the event. Publishing it again within 24 hours gives the same answer with duplicate: true. Quoted, as a string of RFC 9651, it is the same as without the quotes."`
	RawBody        []byte `contentType:"application/json"`
}

// CommendaEvent is the answer to a publish: the event object without the members that depend on the webhook.
type CommendaEvent struct {
	ID             string `json:"id" format:"uuid" doc:"The same in the event object of every webhook." example:"019a961c-9b1f-7cee-bfe3-c29ff547dba1"`
	Topic          string `json:"topic" doc:"Its topic." example:"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED"`
	TriggeredAt    int64  `json:"triggered_at" doc:"When it was published, in Unix seconds." example:"1768480200"`
	OrganizationID string `json:"organization_id" doc:"As the client gave it; empty if it gave none." example:"c2710df6-c6cf-4cd0-aa38-63faa44f16bc"`
	APIVersion     string `json:"api_version" enum:"v1.0" doc:"The version of the event object." example:"v1.0"`
	Deliveries     int    `json:"deliveries" doc:"How many webhooks of all profiles the event matched." example:"1"`
	IdempotencyKey string `json:"idempotency_key,omitempty" doc:"The id or Idempotency-Key given." example:"registration-4711-done"`
	Duplicate      bool   `json:"duplicate,omitempty" doc:"Whether this is the event of an earlier publish with the same Idempotency-Key." example:"false"`
}

type commendaEventAccepted struct {
	Data    CommendaEvent `json:"data" doc:"The event."`
	Message string        `json:"message" doc:"What has been done." example:"Successfully accepted event."`
}

type publishCommendaEventOutput struct {
	Body commendaEventAccepted
}

func (a *API) registerCommendaEvents() {
	register(a, operation{
		id: "publish-commenda-event", portal: portalClosed, method: http.MethodPost, path: "/events", tag: tagCommenda, status: http.StatusAccepted,
		scopes: []hook.Scope{hook.ScopePublish}, summary: "Publish an event to a topic", maxBody: rawRequestLimit, raw: true, publishes: true,
		description: "202 means that the event is stored durably, with a delivery for every webhook that matches now, including standard ones of this type. Delivery begins at once; the answer does not wait for it.",
		errors:      []int{http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
		body:        a.jsonBody(publishCommendaEventRequest{}, "PublishCommendaEventRequest", true),
	}, a.publishCommendaEvent)
}

func (a *API) publishCommendaEvent(ctx context.Context, in *publishCommendaEventInput) (*publishCommendaEventOutput, error) {
	p, err := readCommendaPublication(ctx, in)
	if err != nil {
		return nil, err
	}
	accepted, err := a.acceptCommenda(ctx, &p)
	if accepted, err = a.unlessRepeated(ctx, &p, accepted, err); err != nil {
		return nil, err
	}
	e := &accepted.Event
	return &publishCommendaEventOutput{Body: commendaEventAccepted{
		Data: CommendaEvent{
			ID: e.ID.UUID(), Topic: e.Type, TriggeredAt: e.CreatedAt.Unix(), OrganizationID: e.OrganizationID,
			APIVersion: payload.CommendaVersion, Deliveries: e.Deliveries, IdempotencyKey: p.IdempotencyKey, Duplicate: accepted.Duplicate,
		},
		Message: "Successfully accepted event.",
	}}, nil
}

func readCommendaPublication(ctx context.Context, in *publishCommendaEventInput) (p hook.Publication, err error) {
	var b publishCommendaEventRequest
	if err := readBody(in.RawBody, &b, ignoreUnknown); err != nil {
		return p, err
	}
	if err := b.check(); err != nil {
		return p, err
	}
	key, err := idempotencyKey(in.IdempotencyKey, b.ID)
	if err != nil {
		return p, err
	}
	p = hook.Publication{TenantID: tenant(ctx), Type: *b.Topic, Data: b.Data, IdempotencyKey: key}
	if b.OrganizationID != nil {
		p.OrganizationID = *b.OrganizationID
	}
	setHops(ctx, &p)
	return p, nil
}

func (a *API) acceptCommenda(ctx context.Context, p *hook.Publication) (hook.Accepted, error) {
	if err := checkActive(ctx); err != nil {
		return hook.Accepted{}, err
	}
	if err := checkNotOurs("body.topic", p.Type); err != nil {
		return hook.Accepted{}, err
	}
	if err := checkAllowed(ctx, p.Type); err != nil {
		return hook.Accepted{}, err
	}
	s, err := a.schemaOfTopic(ctx, p.Type)
	if err != nil {
		return hook.Accepted{}, err
	}
	return a.accept(ctx, *p, s)
}

// check returns everything that is wrong with the members.
func (b *publishCommendaEventRequest) check() error {
	var violations []hook.Violation
	if b.Data == nil {
		violations = append(violations, missing("data"))
	}
	if b.Topic == nil {
		violations = append(violations, missing("topic"))
	} else if problem := hook.TopicProblem(*b.Topic); problem != "" {
		violations = append(violations, hook.Violation{Location: "body.topic", Message: problem})
	}
	if b.OrganizationID != nil && !isOrganizationID(*b.OrganizationID) {
		violations = append(violations, hook.Violation{
			Location: "body.organization_id", Message: "must be at most 255 characters without control characters",
		})
	}
	return invalid(violations)
}

// maxOrganizationID bounds an organization id, in characters.
const maxOrganizationID = 255

// isOrganizationID reports whether s may be an organization id in an event object. s is valid UTF-8, as the whole body
// is.
func isOrganizationID(s string) bool {
	return utf8.RuneCountInString(s) <= maxOrganizationID && !strings.ContainsFunc(s, unicode.IsControl)
}
