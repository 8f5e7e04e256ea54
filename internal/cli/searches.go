package cli

import (
	"context"
	"slices"
	"strings"

	grapnelapi "grapnel/clients/go"
	"grapnel/internal/hook"
)

type searchDeliveriesCommand struct {
	connection
	output
	paging
	Webhook     string   `env:"-" placeholder:"ID" help:"Only deliveries of this webhook."`
	Status      []string `enum:"pending,success,failed,canceled,timed_out,dropped" env:"-" help:"Only deliveries with one of these statuses, separated by commas: pending, success, failed, canceled, timed_out, dropped."`
	StatusClass string   `enum:",2xx,3xx,4xx,5xx" default:"" env:"-" help:"Only deliveries whose last HTTP status is of this class: 2xx, 3xx, 4xx or 5xx."`
	ErrorClass  string   `enum:",status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" default:"" env:"-" help:"Only deliveries whose last attempt failed in this way: status, redirect, timeout, refused, reset, unreachable, dns, tls, blocked, too_large, protocol or other."`
	EventType   string   `env:"-" help:"Only deliveries of events of this type, or of a pattern like user.*."`
	Reference   string   `env:"-" help:"Only deliveries of events with this reference."`
	Final       string   `enum:",true,false" default:"" env:"-" help:"Only deliveries that have ended (true), or that have an attempt to come (false)."`
	Undelivered bool     `env:"-" help:"Only deliveries that have ended without success."`
	Since       when     `env:"-" placeholder:"TIME" help:"Only deliveries of events from this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). A time without a zone is local."`
	Until       when     `env:"-" placeholder:"TIME" help:"Only deliveries of events before this time."`
}

// Run lists the deliveries of all webhooks.
func (c *searchDeliveriesCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	params := grapnelapi.SearchDeliveriesParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), WebhookID: given(c.Webhook), EventType: given(c.EventType), Reference: given(c.Reference),
		StatusClass: given(grapnelapi.SearchDeliveriesParamsStatusClass(c.StatusClass)), ErrorClass: given(grapnelapi.ErrorClass(c.ErrorClass)),
		Final: given(grapnelapi.SearchDeliveriesParamsFinal(c.Final)), Since: c.Since.given(), Until: c.Until.given(),
	}
	if len(c.Status) > 0 {
		var list []grapnelapi.DeliveryStatus
		for _, status := range c.Status {
			list = append(list, grapnelapi.DeliveryStatus(status))
		}
		params.Status = &list
	}
	if c.Undelivered {
		params.Undelivered = given(grapnelapi.SearchDeliveriesParamsUndeliveredTrue)
	}
	list, err := take[grapnelapi.DeliveryPage](client.SearchDeliveriesWithResponse(ctx, &params))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "STATUS", "HTTP", "ATTEMPTS", "TYPE", "WEBHOOK", "EVENT", "CREATED", "NEXT ATTEMPT"}}
		var tenants []*string
		for _, d := range list.value.Deliveries {
			rows = append(rows, []string{
				d.ID, string(d.Status), number(known(d.StatusCode)), number(d.Attempts), clean(d.EventType), d.WebhookID, d.EventID, moment(&d.CreatedAt), next(&d),
			})
			tenants = append(tenants, d.TenantID)
		}
		p.table(withTenants(rows, tenants))
	})
	more(s, list.value.NextCursor)
	return err
}

type listEventsCommand struct {
	connection
	output
	paging
	Type      string `env:"-" help:"Only events of this type, or of a pattern like user.*."`
	Reference string `env:"-" help:"Only events with this reference."`
	Since     when   `env:"-" placeholder:"TIME" help:"Only events from this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). A time without a zone is local."`
	Until     when   `env:"-" placeholder:"TIME" help:"Only events before this time."`
}

// Run lists events.
func (c *listEventsCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.EventList](client.ListEventsWithResponse(ctx, &grapnelapi.ListEventsParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), Type: given(c.Type), Reference: given(c.Reference), Since: c.Since.given(), Until: c.Until.given(),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "TYPE", "WEBHOOKS", "REFERENCES", "CREATED"}}
		var tenants []*string
		for _, e := range list.value.Events {
			rows = append(rows, []string{e.ID, clean(e.Type), number(e.DeliveryCount), clean(strings.Join(known(e.References), ", ")), moment(&e.CreatedAt)})
			tenants = append(tenants, e.TenantID)
		}
		p.table(withTenants(rows, tenants))
	})
	more(s, list.value.NextCursor)
	return err
}

type whyCommand struct {
	connection
	output
	ID string `arg:"" help:"The event's id."`
}

// Run shows who got an event, who did not, and why.
func (c *whyCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	e, err := take[grapnelapi.EventDetail](client.GetEventWithResponse(ctx, c.ID))
	if err != nil {
		return err
	}
	return c.show(s, e.raw, func(p *printer) { p.why(&e.value) })
}

// why prints the webhooks that got an event, and those that did not.
func (p *printer) why(e *grapnelapi.EventDetail) {
	p.facts("id", e.ID, "type", clean(e.Type), "references", clean(strings.Join(known(e.References), ", ")), "created", moment(&e.CreatedAt), "workflow", known(e.WorkflowID))
	p.text.WriteByte('\n')
	rows := [][]string{{"WEBHOOK", "STATUS", "WHY", "DELIVERY"}}
	deliveries := slices.Clone(e.Deliveries)
	slices.SortStableFunc(deliveries, func(a, b grapnelapi.Delivery) int { return strings.Compare(a.WebhookID, b.WebhookID) })
	for i := range deliveries {
		d := &deliveries[i]
		rows = append(rows, []string{d.WebhookID, string(d.Status), outcome(d), d.ID})
	}
	for _, n := range e.NotDeliveredTo {
		rows = append(rows, []string{n.WebhookID, "none", string(n.Reason), ""})
	}
	if len(rows) == 1 {
		p.text.WriteString("no webhook at that time\n")
		return
	}
	p.table(rows)
}

// outcome returns how a delivery stands, in words.
func outcome(d *grapnelapi.Delivery) string {
	switch {
	case d.Status == grapnelapi.DeliveryStatus(hook.StateSuccess):
		return "delivered " + moment(d.DeliveredAt)
	case d.Waiting != nil:
		return next(d)
	case d.NextAttemptAt != nil && d.Error != nil:
		return clean(*d.Error) + "; next attempt " + moment(d.NextAttemptAt)
	case d.NextAttemptAt != nil:
		return "next attempt " + moment(d.NextAttemptAt)
	default:
		return clean(known(d.Error))
	}
}
