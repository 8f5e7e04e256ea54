package cli

import (
	"context"
	"slices"

	grapnelapi "grapnel/clients/go"
)

type createWebhookCommand struct {
	connection
	output
	settings
	Destination string   `arg:"" help:"URL that receives the events."`
	Events      []string `arg:"" help:"Event types to receive; also prefix.* and *."`
	Profile     string   `enum:"standard,commenda" default:"standard" env:"-" help:"Format of body and signature: standard or commenda."`
	Inactive    bool     `env:"-" help:"Create the webhook disabled."`
}

// Run creates a webhook.
func (c *createWebhookCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	w, err := take[grapnelapi.CreatedWebhook](client.CreateWebhookWithResponse(ctx, grapnelapi.CreateWebhookRequest{
		URL: c.Destination, Events: c.Events, Profile: new(grapnelapi.WebhookProfile(c.Profile)), Active: new(!c.Inactive),
		Secret: given(c.Secret.Reveal()), Description: c.Description, Headers: c.Header,
		TimeoutSeconds: given(c.Timeout), RateLimit: c.RateLimit, MaxAttempts: given(c.MaxAttempts),
	}))
	if err != nil {
		return err
	}
	return c.show(s, w.raw, func(p *printer) { p.webhook(plain(&w.value), w.value.Secret) })
}

// plain returns the created webhook without its secret.
func plain(w *grapnelapi.CreatedWebhook) *grapnelapi.Webhook {
	return &grapnelapi.Webhook{
		ID: w.ID, URL: w.URL, Events: w.Events, Active: w.Active, Paused: w.Paused, Profile: w.Profile, CacheName: w.CacheName, WebhookName: w.WebhookName,
		Status: w.Status, StatusReason: w.StatusReason, Description: w.Description, Headers: w.Headers,
		TimeoutSeconds: w.TimeoutSeconds, RateLimit: w.RateLimit, MaxAttempts: w.MaxAttempts, CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt,
	}
}

type updateWebhookCommand struct {
	connection
	output
	settings
	webhookID
	Destination string   `env:"-" placeholder:"URL" help:"URL that receives the events."`
	Events      []string `env:"-" help:"New event types, separated by commas. They replace all previous ones."`
	NoHeaders   bool     `env:"-" help:"Remove all custom headers."`
	Active      string   `enum:",true,false" default:"" env:"-" help:"false disables the webhook and cancels its pending deliveries; true enables it."`
	Paused      string   `enum:",true,false" default:"" env:"-" help:"true pauses the deliveries, false resumes them. None is lost."`
}

// Run changes a webhook.
func (c *updateWebhookCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	change := grapnelapi.UpdateWebhookRequest{
		URL: given(c.Destination), Secret: given(c.Secret.Reveal()), Description: c.Description,
		TimeoutSeconds: given(c.Timeout), RateLimit: c.RateLimit, MaxAttempts: given(c.MaxAttempts),
	}
	if len(c.Events) > 0 {
		change.Events = &c.Events
	}
	if len(c.Header) > 0 || c.NoHeaders {
		headers := map[string]string{}
		for name, value := range c.Header {
			headers[name] = value
		}
		change.Headers = &headers
	}
	if c.Active != "" {
		change.Active = new(c.Active == "true")
	}
	if c.Paused != "" {
		change.Paused = new(c.Paused == "true")
	}
	if change == (grapnelapi.UpdateWebhookRequest{}) {
		return failf(codeWrong, "nothing to change: give a flag, such as --destination, --events or --active=false")
	}
	w, err := take[grapnelapi.Webhook](client.UpdateWebhookWithResponse(ctx, c.ID, change))
	if err != nil {
		return err
	}
	return c.show(s, w.raw, func(p *printer) { p.webhook(&w.value, "") })
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
