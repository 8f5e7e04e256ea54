package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"grapnel/internal/hook"
)

type searchDeliveriesInput struct {
	Paging
	WebhookID   string    `query:"webhook_id" maxLength:"64" doc:"Only deliveries of this webhook, which may have been deleted."`
	Status      []string  `query:"status" enum:"pending,success,failed,canceled,timed_out,dropped" doc:"Only deliveries of one of these statuses, separated by commas."`
	StatusClass string    `query:"status_class" enum:"2xx,3xx,4xx,5xx" doc:"Only deliveries whose last HTTP status is of this class. From 3xx on, deliveries that have succeeded are left out."`
	ErrorClass  string    `query:"error_class" enum:"status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" doc:"Only deliveries whose last attempt failed in this way, without those that have succeeded."`
	EventType   string    `query:"event_type" maxLength:"128" doc:"Only deliveries of events of this type, or of those that a pattern like user.* matches."`
	Reference   string    `query:"reference" maxLength:"128" doc:"Only deliveries of events with this reference."`
	Final       string    `query:"final" enum:"true,false" doc:"true: only deliveries that have ended. false: only those with an attempt to come."`
	Undelivered string    `query:"undelivered" enum:"true,false" doc:"true: only deliveries that have ended without success."`
	Since       time.Time `query:"since" doc:"Only deliveries of events from this time on."`
	Until       time.Time `query:"until" doc:"Only deliveries of events before this time."`
}

// DeliveryPage is a page of the deliveries of all webhooks.
type DeliveryPage struct {
	Deliveries []Delivery `json:"deliveries" doc:"This page of deliveries, newest first."`
	NextCursor *string    `json:"next_cursor" nullable:"true" doc:"Cursor of the next page; null on the last page. A page ends after a bounded search, so it may be short or empty although more pages follow." example:"AXMBmrHU6q9ekr-Xz5m6pYVu"`
}

type searchDeliveriesOutput struct {
	Body DeliveryPage
}

func (a *API) registerDeliverySearch() {
	register(a, operation{
		id: "search-deliveries", portal: portalView, method: http.MethodGet, path: "/v1/deliveries", tag: tagStandard, large: true, allTenants: true,
		scopes: []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks}, summary: "List the deliveries of all webhooks",
		description: "Newest first by the events' times, of every profile, including test deliveries and those of deleted webhooks. Filters are " +
			"combined by and. Filters that contradict each other are refused with 422. With Grapnel-Tenant: *, those of all tenants.",
	}, a.searchDeliveries)
}

func (a *API) searchDeliveries(ctx context.Context, in *searchDeliveriesInput) (*searchDeliveriesOutput, error) {
	page, err := in.page(listAllDeliveries)
	if err != nil {
		return nil, err
	}
	search, err := a.readSearch(ctx, in)
	if err != nil {
		return nil, err
	}
	page.Since, page.Until = in.Since, in.Until
	found, last, err := a.Store.FindDeliveries(ctx, listed(ctx), search, page)
	if err != nil {
		return nil, err
	}
	bytes := func(*hook.Delivery) int { return entryBytes }
	views, next := pages[hook.Delivery, Delivery]{kind: listAllDeliveries, bytes: bytes, view: func(d *hook.Delivery) Delivery {
		v := a.viewDelivery(ctx, d)
		v.TenantID = shownTenant(ctx, d.TenantID)
		return v
	}}.answerUpTo(ctx, found, last)
	return &searchDeliveriesOutput{Body: DeliveryPage{views, next}}, nil
}

// readSearch checks the filters of a search.
func (a *API) readSearch(ctx context.Context, in *searchDeliveriesInput) (s hook.DeliverySearch, err error) {
	s = hook.DeliverySearch{
		Class: hook.ErrorClass(in.ErrorClass), EventType: in.EventType, Reference: in.Reference,
		Undelivered: in.Undelivered == "true", May: readable(ctx),
	}
	for _, state := range in.Status {
		s.States = append(s.States, hook.DeliveryState(state))
	}
	if in.StatusClass != "" {
		s.StatusClass = int(in.StatusClass[0] - '0')
	}
	if in.Final != "" {
		final := in.Final == "true"
		s.Final = &final
	}
	if err := typeFilter("event_type", in.EventType); err != nil {
		return s, err
	}
	if err := referenceFilter(in.Reference); err != nil {
		return s, err
	}
	if err := checkPeriod(in.Since, in.Until); err != nil {
		return s, err
	}
	if err := checkContradiction(in, &s); err != nil {
		return s, err
	}
	if in.WebhookID != "" {
		s.WebhookID, err = a.searchedWebhook(ctx, in.WebhookID)
	}
	return s, err
}

// referenceFilter refuses a filter that can't be the reference of an event.
func referenceFilter(reference string) error {
	if problem := hook.ReferenceProblem(reference); reference != "" && problem != "" {
		return hook.Unprocessable("query.reference", "%s", problem)
	}
	return nil
}

// checkContradiction refuses filters that no delivery can meet together: a search for it would read everything.
func checkContradiction(in *searchDeliveriesInput, s *hook.DeliverySearch) error {
	if len(s.Wanted()) > 0 {
		return nil
	}
	var given []string
	for _, filter := range []struct {
		name  string
		given bool
	}{
		{"status", len(s.States) > 0},
		{"status_class", s.StatusClass > 0},
		{"error_class", s.Class != hook.ClassNone},
		{"final=" + in.Final, s.Final != nil},
		{"undelivered=true", s.Undelivered},
	} {
		if filter.given {
			given = append(given, filter.name)
		}
	}
	last := given[len(given)-1]
	name, _, _ := strings.Cut(last, "=")
	return hook.Unprocessable("query."+name, "%s", fmt.Sprintf("no delivery meets %s together with %s", last, strings.Join(given[:len(given)-1], ", ")))
}

// searchedWebhook finds the webhook of a filter.
func (a *API) searchedWebhook(ctx context.Context, text string) (hook.WebhookID, error) {
	w, err := a.loggedWebhook(ctx, text)
	if err == nil {
		err = checkReadableLog(ctx, &w)
	}
	if hook.KindOf(err) == hook.KindNotFound {
		return w.ID, hook.Unprocessable("query.webhook_id", "is not the id of a webhook of the account")
	}
	return w.ID, err
}
