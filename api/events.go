package api

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"grapnel/internal/hook"
)

type eventStore interface {
	Publish(ctx context.Context, p hook.Publication) (hook.Accepted, error)
	PublishAll(ctx context.Context, list []hook.Publication) ([]hook.Accepted, []error)
	// Repeated returns, for each publication whose idempotency key is held, the accepted event or the conflict.
	Repeated(ctx context.Context, list []hook.Publication) ([]hook.Repeat, error)
	Event(ctx context.Context, tenant hook.TenantID, id hook.EventID) (hook.Event, error)
	Events(ctx context.Context, of hook.TenantFilter, f hook.EventFilter, p hook.Page) (list []hook.Event, next *[16]byte, err error)
	NotDeliveredTo(ctx context.Context, e hook.Event, limit int) ([]hook.NotDelivered, error)
}

// Event is a published occurrence.
type Event struct {
	ID          string    `json:"id" doc:"The event's id in paths and in delivered bodies." example:"evt_01kab1s6rzfkqbzry2kztmfpx1"`
	TenantID    string    `json:"tenant_id,omitempty" doc:"The tenant that it belongs to. Only in lists over all tenants." example:"ten_01kab1s6rzfkqbzry2kztmfpx1"`
	Type        string    `json:"type" doc:"Its event type." example:"user.created"`
	CreatedAt   time.Time `json:"created_at" doc:"When it was published." example:"2026-01-15T12:30:00Z"`
	Data        anyJSON   `json:"data"`
	References  []string  `json:"references,omitempty" doc:"Its publisher's references." example:"[\"order_4711\"]"`
	Deliveries  int       `json:"delivery_count" doc:"How many webhooks the event matched." example:"1"`
	CacheName   string    `json:"cache_name,omitempty" doc:"The cache of a momento message, whose type is its topic and whose data is its text." example:"chat"`
	Sequence    int64     `json:"topic_sequence_number,omitempty" doc:"The number of a momento message in its topic." example:"1"`
	Test        bool      `json:"test,omitempty" doc:"Whether the event is the sample of a test delivery." example:"false"`
	WorkflowID  string    `json:"workflow_id,omitempty" doc:"The Temporal workflow that delivers the event; absent if no webhook matched." example:"evt_01kab1s6rzfkqbzry2kztmfpx1"`
	WorkflowURL string    `json:"workflow_url,omitempty" doc:"That workflow in the Temporal Web UI." example:"http://127.0.0.1:8233/namespaces/default/workflows/evt_01kab1s6rzfkqbzry2kztmfpx1"`
}

func (a *API) viewEvent(ctx context.Context, e *hook.Event) Event {
	v := Event{
		ID: e.ID.String(), Type: e.Type, CreatedAt: seconds(e.CreatedAt), Data: e.Data,
		Deliveries: e.Deliveries, Test: e.Test, WorkflowID: e.WorkflowID,
		CacheName: e.Cache, Sequence: e.Sequence, References: e.References,
	}
	if e.WorkflowID != "" {
		v.WorkflowURL = a.workflowURL(ctx, e.WorkflowID)
	}
	return v
}

// workflowURL returns the URL of a workflow in the Temporal Web UI; empty if the UI is not known. It is empty for portal
// sessions, too: the UI is the operator's, and its address is not for customers.
func (a *API) workflowURL(ctx context.Context, id string) string {
	if a.Config.TemporalUI == "" || sessionOf(ctx) != nil {
		return ""
	}
	return a.Config.TemporalUI + "/workflows/" + url.PathEscape(id)
}

// EventDetail is an event with its deliveries and with the webhooks that have no delivery of it.
type EventDetail struct {
	Event
	DeliveryLog    []Delivery     `json:"deliveries" doc:"The event's deliveries, at most 1,000."`
	NotDeliveredTo []NotDelivered `json:"not_delivered_to" doc:"Webhooks of the account that have no delivery of the event, with the reason as it was when the event was published; at most 100."`
}

// NotDelivered is a webhook without a delivery of an event.
type NotDelivered struct {
	WebhookID string `json:"webhook_id" doc:"The webhook that has no delivery." example:"hook_01kab1s6rzfkqbzry2kztmfpx1"`
	Reason    string `json:"reason" enum:"not subscribed,inactive,created later" doc:"Why it had none when the event was published. A webhook that is paused, or whose account is suspended, gets deliveries, which wait." example:"not subscribed"`
}

type listEventsInput struct {
	Paging
	Type      string    `query:"type" maxLength:"128" doc:"Only events of this type, or of those that a pattern like user.* matches."`
	Reference string    `query:"reference" maxLength:"128" doc:"Only events with this reference."`
	Since     time.Time `query:"since" doc:"Only events from this time on."`
	Until     time.Time `query:"until" doc:"Only events before this time."`
}

type eventList struct {
	Events     []Event `json:"events" doc:"This page of events, newest first."`
	NextCursor *string `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page of a filtered list ends after a bounded search, so it may be short or empty although more pages follow." example:"AWUBmrHU6q9ekr-Xz5m6pYVu"`
}

type listEventsOutput struct {
	Body eventList
}

type eventOutput struct {
	Body EventDetail
}

// Bounds of the lists in an event's detail.
const (
	mostDeliveriesShown = 1000
	mostOthersShown     = 100
)

func (a *API) registerEvents() {
	read := []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}
	a.registerPublish()
	a.registerBatch()
	register(a, operation{
		id: "list-events", portal: portalView, method: http.MethodGet, path: "/v1/events", tag: tagStandard, scopes: read, large: true, allTenants: true,
		summary: "List events", description: "Newest first, without test events. With Grapnel-Tenant: *, those of all tenants. A page has less than 4 MiB of data, whatever its limit.",
	}, a.listEvents)
	register(a, operation{
		id: "get-event", portal: portalView, method: http.MethodGet, path: "/v1/events/{id}", tag: tagStandard, scopes: read, large: true,
		summary: "Get an event", errors: []int{http.StatusNotFound},
		description: "The event with its deliveries, its workflow, and the webhooks that it did not match.",
	}, a.getEvent)
}

func (a *API) listEvents(ctx context.Context, in *listEventsInput) (*listEventsOutput, error) {
	page, err := in.page(listEvents)
	if err != nil {
		return nil, err
	}
	if err := typeFilter("type", in.Type); err != nil {
		return nil, err
	}
	if err := referenceFilter(in.Reference); err != nil {
		return nil, err
	}
	if err := checkPeriod(in.Since, in.Until); err != nil {
		return nil, err
	}
	page.Since, page.Until, page.Bytes = in.Since, in.Until, mostAnswered
	events, last, err := a.Store.Events(ctx, listed(ctx), hook.EventFilter{Type: in.Type, Reference: in.Reference, May: readable(ctx)}, page)
	if err != nil {
		return nil, err
	}
	views, next := pages[hook.Event, Event]{kind: listEvents, bytes: eventBytes, view: func(e *hook.Event) Event {
		v := a.viewEvent(ctx, e)
		v.TenantID = shownTenant(ctx, e.TenantID)
		return v
	}}.answerUpTo(ctx, events, last)
	return &listEventsOutput{Body: eventList{views, next}}, nil
}

func (a *API) getEvent(ctx context.Context, in *IDPath) (*eventOutput, error) {
	id, err := hook.ParseEventID(in.ID)
	if err != nil {
		return nil, hook.NotFound("event")
	}
	e, err := a.Store.Event(ctx, tenant(ctx), id)
	if err == nil {
		err = checkReadableEvent(ctx, &e)
	}
	if err != nil {
		return nil, err
	}
	deliveries, err := a.Store.DeliveriesOfEvent(ctx, id, mostDeliveriesShown)
	if err != nil {
		return nil, err
	}
	answered(ctx, eventBytes(&e)+(len(deliveries)+mostOthersShown)*entryBytes)
	out := &eventOutput{Body: EventDetail{Event: a.viewEvent(ctx, &e)}}
	out.Body.DeliveryLog = viewAll(deliveries, func(d *hook.Delivery) Delivery { return a.viewDelivery(ctx, d) })
	out.Body.NotDeliveredTo = []NotDelivered{}
	if e.Test {
		return out, nil // a test is for one webhook only
	}
	others, err := a.Store.NotDeliveredTo(ctx, e, mostOthersShown)
	if err != nil {
		return nil, err
	}
	for _, n := range others {
		out.Body.NotDeliveredTo = append(out.Body.NotDeliveredTo, NotDelivered{n.WebhookID.String(), n.Reason})
	}
	return out, nil
}
