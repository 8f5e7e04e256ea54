package cli

import (
	"context"
	"fmt"
	"strings"

	grapnelapi "grapnel/clients/go"
)

type deliveriesCommand struct {
	List     searchDeliveriesCommand `cmd:"" help:"List the deliveries of all webhooks, newest first."`
	Get      getDeliveryCommand      `cmd:"" help:"Show a delivery and its attempts."`
	Diagnose diagnoseDeliveryCommand `cmd:"" help:"Find out why a receiver cannot verify the signature: compare what it got with what was sent. Exit code 0: verified, 6: not."`
	Retry    retryDeliveryCommand    `cmd:"" help:"Send a delivery once more, now, and show the receiver's answer."`
}

type listDeliveriesCommand struct {
	connection
	output
	paging
	webhookID
	Status    string `enum:",pending,success,failed,canceled,timed_out,dropped" default:"" env:"-" help:"Only deliveries with this status: pending, success, failed, canceled, timed_out or dropped."`
	EventType string `env:"-" help:"Only deliveries of events of this type."`
	Since     when   `env:"-" placeholder:"TIME" help:"Only deliveries of events from this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). A time without a zone is local."`
	Until     when   `env:"-" placeholder:"TIME" help:"Only deliveries of events before this time."`
}

// Run lists a webhook's deliveries.
func (c *listDeliveriesCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.DeliveryList](client.ListDeliveriesWithResponse(ctx, c.ID, &grapnelapi.ListDeliveriesParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), Status: given(grapnelapi.DeliveryStatus(c.Status)),
		EventType: given(c.EventType), Since: c.Since.given(), Until: c.Until.given(),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "STATUS", "HTTP", "ATTEMPTS", "TYPE", "EVENT", "CREATED", "NEXT ATTEMPT"}}
		for _, d := range list.value.Deliveries {
			rows = append(rows, []string{
				d.ID, string(d.Status), number(known(d.StatusCode)), number(d.Attempts), clean(d.EventType), d.EventID, moment(&d.CreatedAt), next(&d),
			})
		}
		p.table(rows)
	})
	more(s, list.value.NextCursor)
	return err
}

// next returns the time of the next attempt, or the reason why the delivery is deferred.
func next(d *grapnelapi.Delivery) string {
	if d.Waiting == nil {
		return moment(d.NextAttemptAt)
	}
	return "waiting: " + reason(d.Waiting)
}

// reason returns why a delivery is deferred, in words.
func reason(w *grapnelapi.Waiting) string { return strings.ReplaceAll(string(w.Reason), "_", " ") }

// waiting describes why and since when a delivery is deferred. It returns "" if the delivery is not deferred.
func waiting(w *grapnelapi.Waiting) string {
	if w == nil {
		return ""
	}
	text := reason(w) + " since " + moment(&w.Since)
	if w.NextProbeAt != nil {
		text += ", next probe " + moment(w.NextProbeAt)
	}
	return text
}

type getDeliveryCommand struct {
	connection
	output
	ID string `arg:"" help:"The delivery's id."`
}

// Run shows a delivery.
func (c *getDeliveryCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	d, err := take[grapnelapi.DeliveryDetail](client.GetDeliveryWithResponse(ctx, c.ID))
	if err != nil {
		return err
	}
	return c.show(s, d.raw, func(p *printer) { p.delivery(&d.value) })
}

type retryDeliveryCommand struct {
	connection
	output
	ID string `arg:"" help:"The delivery's id."`
}

// Run sends a delivery again.
func (c *retryDeliveryCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.sent(s)(take[grapnelapi.DeliveryDetail](client.RetryDeliveryWithResponse(ctx, c.ID)))
}

type testWebhookCommand struct {
	connection
	output
	webhookID
	Type string `env:"-" help:"The event's type. Default: the webhook's first type."`
	Data string `env:"-" placeholder:"JSON" help:"The event's data. Default: a sample for the type."`
}

// Run sends a test event.
func (c *testWebhookCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	request, err := object("type", c.Type, "data", c.Data)
	if err != nil {
		return err
	}
	return c.sent(s)(take[grapnelapi.DeliveryDetail](client.TestWebhookWithBodyWithResponse(ctx, c.ID, jsonType, request)))
}

// sent shows the result of a request that was sent by hand.
func (o *output) sent(s Streams) func(body[grapnelapi.DeliveryDetail], error) error {
	return func(d body[grapnelapi.DeliveryDetail], err error) error {
		if err != nil {
			return err
		}
		if err := o.show(s, d.raw, func(p *printer) { p.delivery(&d.value) }); err != nil {
			return err
		}
		if d.value.Status != grapnelapi.DeliveryStatusSuccess {
			return failf(codeNo, "the delivery did not succeed: %s", known(d.value.Error))
		}
		return nil
	}
}

// delivery prints a delivery with its attempts.
func (p *printer) delivery(d *grapnelapi.DeliveryDetail) {
	p.facts(
		"id", d.ID, "status", string(d.Status), "error", clean(known(d.Error)), "event", d.EventID, "type", clean(d.EventType), "webhook", d.WebhookID,
		"created", moment(&d.CreatedAt), "delivered", moment(d.DeliveredAt), "next attempt", moment(d.NextAttemptAt),
		"waiting", waiting(d.Waiting), "workflow", known(d.WorkflowID),
	)
	if d.Explanation != nil {
		p.facts("reason", clean(d.Explanation.Summary), "next step", clean(d.Explanation.NextStep))
	}
	if len(d.AttemptLog) == 0 {
		return
	}
	rows := [][]string{{"ATTEMPT", "STARTED", "TOOK", "HTTP", "ADDRESS", "OUTCOME"}}
	for _, a := range d.AttemptLog {
		status, outcome := "", "success"
		if a.Response != nil {
			status = number(a.Response.StatusCode)
		}
		if a.Error != nil {
			outcome = clean(a.Error.Message)
		}
		rows = append(rows, []string{number(a.Number), moment(&a.StartedAt), fmt.Sprintf("%.0f ms", a.DurationMs), status, known(a.RemoteAddress), outcome})
	}
	p.text.WriteByte('\n')
	p.table(rows)
}
