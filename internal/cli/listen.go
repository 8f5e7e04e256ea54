package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	grapnelapi "grapnel/clients/go"
	"grapnel/internal/hook"
)

type listenCommand struct {
	connection
	Events    []string      `arg:"" optional:"" default:"*" help:"Event types to receive; also prefix.* and *. Default: all."`
	Addr      string        `name:"addr" default:"127.0.0.1:0" env:"-" help:"Address to listen on; port 0 means a free port."`
	PublicURL string        `name:"public-url" env:"-" placeholder:"URL" help:"URL at which the API reaches this command, such as that of a tunnel. Default: the address that it listens on."`
	Profile   string        `enum:"standard,commenda" default:"standard" env:"-" help:"Format of body and signature: standard or commenda."`
	Status    []int         `default:"200" env:"-" help:"Status codes for a delivery's attempts, in order: 500,500,200 fails twice. The last one is repeated."`
	Delay     time.Duration `env:"-" help:"How long to wait before each answer."`
	Count     int           `env:"-" placeholder:"N" help:"Stop after this many requests. Default: at an interrupt."`
	JSON      bool          `name:"json" env:"-" help:"Print each request as one line of JSON, for programs."`
}

// Validate refuses status codes that cannot be sent and negative numbers.
func (c *listenCommand) Validate() error {
	for _, status := range c.Status {
		if status < 200 || status > 599 {
			return fmt.Errorf("--status %d: want 200 to 599", status)
		}
	}
	if len(c.Status) == 0 || c.Delay < 0 || c.Count < 0 {
		return errors.New("--status, --delay or --count: want at least one status, and no negative value")
	}
	return nil
}

// goodbye is how long deleting the webhook may take after an interrupt.
const goodbye = 10 * time.Second

// Run receives requests until ctx ends.
func (c *listenCommand) Run(ctx context.Context, s Streams) (err error) {
	client, err := c.client()
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return failf(codeWrong, "--addr: %w", err)
	}
	public := c.PublicURL
	if public == "" {
		public = "http://" + listener.Addr().String() + "/"
	}
	created, err := take[grapnelapi.CreatedWebhook](client.CreateWebhookWithResponse(ctx, grapnelapi.CreateWebhookRequest{
		URL: public, Events: c.Events, Profile: new(grapnelapi.WebhookProfile(c.Profile)), Description: new("grapnel listen"),
	}))
	if err != nil {
		return errors.Join(c.hinted(err), listener.Close())
	}
	webhook := created.value.ID
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		deleting := answered(client.DeleteWebhookWithResponse(bye, webhook))
		if deleting != nil {
			deleting = fmt.Errorf("%s could not be deleted: %w", webhook, deleting)
		}
		err = errors.Join(err, deleting)
	}()
	fmt.Fprintf(s.Err, "%s receives %s at %s; interrupt to stop\n", webhook, clean(strings.Join(c.Events, ", ")), clean(public))
	return c.serve(ctx, s, listener, created.value.Secret)
}

// hinted adds advice to the error of an API that refuses to send to this machine.
func (c *listenCommand) hinted(err error) error {
	if c.PublicURL == "" && strings.Contains(err.Error(), "is not allowed") {
		return fmt.Errorf("%w; start the API with --allow-destinations=127.0.0.0/8, or give the --public-url of a tunnel", err)
	}
	return err
}

// serve answers requests until ctx ends or there have been enough, and lets requests in progress
// finish.
func (c *listenCommand) serve(ctx context.Context, s Streams, listener net.Listener, secret string) error {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	rc := &localReceiver{
		streams: s, json: c.JSON, secret: secret, profile: hook.Profile(c.Profile), status: c.Status, delay: c.Delay,
		left: c.Count, enough: enough, seen: map[string]int{},
	}
	server := &http.Server{Handler: rc, ReadHeaderTimeout: 10 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye+c.Delay)
	defer cancel()
	return server.Shutdown(stopping)
}

// attempt returns the number of a request's attempt, from 1. The standard profile has it in a header;
// otherwise the requests of one event are counted.
func (rc *localReceiver) attempt(h http.Header, event string) int {
	rc.seen[event]++
	if n, err := strconv.Atoi(h.Get("X-Webhook-Attempt")); err == nil && n > 0 {
		return n
	}
	return rc.seen[event]
}
