package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	grapnelapi "grapnel/clients/go"
)

type eventsCommand struct {
	List    listEventsCommand `cmd:"" help:"List events, newest first."`
	Why     whyCommand        `cmd:"" help:"Show which webhooks got an event, which did not, and why."`
	Publish publishCommand    `cmd:"" help:"Publish one event from flags, or many from a file or standard input."`
}

type publishCommand struct {
	connection
	output
	File       string   `arg:"" optional:"" default:"-" help:"NDJSON: one event per line, as {\"type\":…,\"data\":…}, and with \"id\" if you may repeat it. Default: standard input."`
	Type       string   `env:"-" help:"The event's type. Without --data, each line is the data of an event of this type."`
	Data       string   `env:"-" placeholder:"JSON" help:"The data of one event. Only this event is published."`
	ID         string   `name:"id" env:"-" help:"Your own id of the event, for idempotency."`
	References []string `name:"reference" env:"-" placeholder:"REFERENCE" sep:"none" help:"A reference by which the event and its deliveries are found, such as the id of an order; may be repeated, up to 10 times. Needs --data."`
	Batch      int      `default:"100" env:"-" help:"Events per request, 1 to 1000."`
	Rate       int      `default:"0" env:"-" help:"Events per second at most; 0 means no limit."`
}

// Validate refuses combinations of flags without a meaning.
func (c *publishCommand) Validate() error {
	switch {
	case c.Data != "" && c.Type == "":
		return errors.New("--data needs --type")
	case c.Data != "" && c.File != "-":
		return errors.New("--data publishes one event: give no file with it")
	case c.ID != "" && c.Data == "":
		return errors.New("--id needs --data: it is the id of one event")
	case len(c.References) > 0 && c.Data == "":
		return errors.New("--reference needs --data: the lines of a file have references of their own")
	case c.Batch < 1 || c.Batch > 1000:
		return fmt.Errorf("--batch %d: want 1 to 1000", c.Batch)
	case c.Rate < 0:
		return fmt.Errorf("--rate %d: want 0 or more", c.Rate)
	}
	return nil
}

// Run publishes one event or many.
func (c *publishCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	if c.Data != "" {
		return c.one(ctx, s, client)
	}
	in, size, err := s.open(c.File)
	if err != nil {
		return err
	}
	defer in.Close()
	return c.many(ctx, s, client, in, size)
}

const jsonType = "application/json"

func (c *publishCommand) one(ctx context.Context, s Streams, client *grapnelapi.ClientWithResponses) error {
	references := ""
	if len(c.References) > 0 {
		text, _ := json.Marshal(c.References) // strings can always be encoded
		references = string(text)
	}
	event, err := object("type", c.Type, "data", c.Data, "id", c.ID, "references", references)
	if err != nil {
		return err
	}
	accepted, err := take[grapnelapi.AcceptedEvent](client.PublishEventWithBodyWithResponse(ctx, nil, jsonType, event))
	if err != nil {
		return err
	}
	return c.show(s, accepted.raw, func(p *printer) {
		e := &accepted.value
		duplicate := ""
		if known(e.Duplicate) {
			duplicate = "published before"
		}
		p.facts("id", e.ID, "type", clean(e.Type), "webhooks", fmt.Sprint(e.Deliveries), "created", moment(&e.CreatedAt), "duplicate", duplicate)
	})
}
