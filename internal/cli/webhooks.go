package cli

import (
	"context"
	"fmt"
	"strings"

	grapnelapi "grapnel/clients/go"
	"grapnel/internal/hook"
)

type webhooksCommand struct {
	List       listWebhooksCommand   `cmd:"" help:"List webhooks, newest first."`
	Create     createWebhookCommand  `cmd:"" help:"Create a webhook and print its secret."`
	Get        getWebhookCommand     `cmd:"" help:"Show a webhook."`
	Update     updateWebhookCommand  `cmd:"" help:"Change the given settings of a webhook."`
	Delete     deleteWebhookCommand  `cmd:"" help:"Delete a webhook and cancel its pending deliveries."`
	Test       testWebhookCommand    `cmd:"" help:"Send a sample event and show the receiver's answer."`
	Deliveries listDeliveriesCommand `cmd:"" help:"List a webhook's deliveries, newest first."`
	Replay     replayWebhookCommand  `cmd:"" help:"Send past events to a webhook, or count them."`
}

// paging has the flags of lists.
type paging struct {
	Limit  int64  `default:"20" env:"-" help:"Number of entries at most, up to 100."`
	Cursor string `env:"-" help:"Where to continue: the cursor that the previous page printed."`
}

// webhookID is the argument of commands on one webhook.
type webhookID struct {
	ID string `arg:"" help:"The webhook's id."`
}

type listWebhooksCommand struct {
	connection
	output
	paging
	Event   string `env:"-" help:"Only webhooks that receive events of this type."`
	Profile string `enum:",standard,momento,commenda" default:"" env:"-" help:"Only webhooks of this profile: standard, momento or commenda."`
	Active  string `enum:",true,false" default:"" env:"-" help:"Only active (true) or inactive (false) webhooks."`
}

// Run lists webhooks.
func (c *listWebhooksCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.WebhookList](client.ListWebhooksWithResponse(ctx, &grapnelapi.ListWebhooksParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), Event: given(c.Event),
		Profile: given(grapnelapi.WebhookProfile(c.Profile)), Active: given(grapnelapi.ListWebhooksParamsActive(c.Active)),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "STATUS", "PROFILE", "EVENTS", "URL", "CREATED"}}
		for _, w := range list.value.Webhooks {
			rows = append(rows, []string{w.ID, string(w.Status), string(w.Profile), clean(shortened(w.Events)), clean(w.URL), moment(&w.CreatedAt)})
		}
		p.table(rows)
	})
	more(s, list.value.NextCursor)
	return err
}

// shortened joins event types, and shortens a long list to fit into a column.
func shortened(events []string) string {
	const most = 3
	if len(events) <= most {
		return strings.Join(events, ",")
	}
	return fmt.Sprintf("%s,… (%d)", strings.Join(events[:most], ","), len(events))
}

type getWebhookCommand struct {
	connection
	output
	webhookID
}

// Run shows a webhook.
func (c *getWebhookCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	w, err := take[grapnelapi.Webhook](client.GetWebhookWithResponse(ctx, c.ID))
	if err != nil {
		return err
	}
	return c.show(s, w.raw, func(p *printer) { p.webhook(&w.value, "") })
}

// webhook prints a webhook, with its secret unless that is empty.
func (p *printer) webhook(w *grapnelapi.Webhook, secret string) {
	var headers []string
	for name, value := range w.Headers {
		headers = append(headers, clean(name+": "+value))
	}
	p.facts(
		"id", w.ID, "url", clean(w.URL), "events", clean(strings.Join(w.Events, ", ")), "profile", string(w.Profile),
		"cache", clean(known(w.CacheName)), "name", clean(known(w.WebhookName)),
		"status", string(w.Status), "reason", clean(known(w.StatusReason)), "description", clean(known(w.Description)),
		"headers", strings.Join(sorted(headers), ", "), "timeout", fmt.Sprintf("%d s", w.TimeoutSeconds),
		"rate limit", number(known(w.RateLimit)), "attempts", number(w.MaxAttempts),
		"created", moment(&w.CreatedAt), "updated", moment(&w.UpdatedAt), "secret", secret,
	)
}

type deleteWebhookCommand struct {
	connection
	webhookID
}

// Run deletes a webhook.
func (c *deleteWebhookCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if err := answered(client.DeleteWebhookWithResponse(ctx, c.ID)); err != nil {
		return err
	}
	_, err = fmt.Fprintln(s.Out, c.ID, "deleted")
	return err
}

// settings has the flags that create and update share.
type settings struct {
	Secret      hook.Secret       `env:"-" placeholder:"SECRET" help:"Secret that signs every request."`
	Description *string           `env:"-" help:"What the webhook is for."`
	Header      map[string]string `env:"-" mapsep:"none" placeholder:"NAME=VALUE" help:"Header that is sent with every request; may be repeated."`
	Timeout     int64             `env:"-" placeholder:"SECONDS" help:"Limit for a whole attempt, 1 to 30."`
	RateLimit   *int64            `env:"-" placeholder:"N" help:"Requests per second at most; 0 means no limit."`
	MaxAttempts int64             `env:"-" placeholder:"N" help:"Attempts per delivery at most, 1 to 5."`
}
