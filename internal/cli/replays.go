package cli

import (
	"context"
	"fmt"
	"strings"

	grapnelapi "grapnel/clients/go"
)

type replayWebhookCommand struct {
	connection
	output
	webhookID
	Since      when     `required:"" env:"-" placeholder:"TIME" help:"Events from this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). A time without a zone is local."`
	Until      when     `env:"-" placeholder:"TIME" help:"Events before this time. Default: now."`
	Status     string   `enum:"failed,missing,all" default:"failed" env:"-" help:"failed: events with deliveries but no successful one. missing: matching events without a delivery. all: all matching events."`
	EventTypes []string `env:"-" name:"event-type" help:"Only events of these types; also prefix.* and *; separated by commas."`
	Rate       int64    `env:"-" placeholder:"N" help:"Deliveries per second at most. Default: 100."`
	DryRun     bool     `env:"-" help:"Only count the events."`
}

// Run starts a replay, or counts the events that it would send.
func (c *replayWebhookCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	request := grapnelapi.ReplayWebhookRequest{
		Since: c.Since.Time, Until: c.Until.given(), Status: grapnelapi.ReplayStatus(c.Status), Rate: given(c.Rate), DryRun: given(c.DryRun),
	}
	if len(c.EventTypes) > 0 {
		request.EventTypes = &c.EventTypes
	}
	answer, err := client.ReplayWebhookWithResponse(ctx, c.ID, request)
	if c.DryRun {
		n, err := take[grapnelapi.ReplayEstimate](answer, err)
		if err != nil {
			return err
		}
		return c.show(s, n.raw, func(p *printer) { p.estimate(&n.value) })
	}
	r, err := take[grapnelapi.Replay](answer, err)
	if err != nil {
		return err
	}
	return c.show(s, r.raw, func(p *printer) { p.replay(&r.value) })
}

type replaysCommand struct {
	List   listReplaysCommand  `cmd:"" help:"List replays, newest first."`
	Get    getReplayCommand    `cmd:"" help:"Show the progress of a replay."`
	Pause  pauseReplayCommand  `cmd:"" help:"Pause a replay: it creates no deliveries until it is resumed."`
	Resume resumeReplayCommand `cmd:"" help:"Resume a paused replay."`
	Cancel cancelReplayCommand `cmd:"" help:"End a replay and cancel its outstanding deliveries."`
}

type listReplaysCommand struct {
	connection
	output
	paging
	Webhook string `env:"-" placeholder:"ID" help:"Only replays of this webhook."`
}

// Run lists replays.
func (c *listReplaysCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	list, err := take[grapnelapi.ReplayList](client.ListReplaysWithResponse(ctx, &grapnelapi.ListReplaysParams{
		Limit: &c.Limit, Cursor: given(c.Cursor), WebhookID: given(c.Webhook),
	}))
	if err != nil {
		return err
	}
	err = c.show(s, list.raw, func(p *printer) {
		rows := [][]string{{"ID", "STATE", "STATUS", "SCANNED", "EVENTS", "WEBHOOK", "CREATED", "ENDED"}}
		for _, r := range list.value.Replays {
			rows = append(rows, []string{
				r.ID, string(r.State), string(r.Status), number(r.Scanned), number(r.Events), receivers(&r), moment(&r.CreatedAt), moment(r.EndedAt),
			})
		}
		p.table(rows)
	})
	more(s, list.value.NextCursor)
	return err
}

// replayID is the argument of commands on one replay.
type replayID struct {
	connection
	output
	ID string `arg:"" help:"The replay's id."`
}

type (
	getReplayCommand    struct{ replayID }
	pauseReplayCommand  struct{ replayID }
	resumeReplayCommand struct{ replayID }
	cancelReplayCommand struct{ replayID }
)

// Run shows a replay.
func (c *getReplayCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.done(s)(take[grapnelapi.Replay](client.GetReplayWithResponse(ctx, c.ID)))
}

// Run pauses a replay.
func (c *pauseReplayCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.done(s)(take[grapnelapi.Replay](client.PauseReplayWithResponse(ctx, c.ID)))
}

// Run resumes a replay.
func (c *resumeReplayCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.done(s)(take[grapnelapi.Replay](client.ResumeReplayWithResponse(ctx, c.ID)))
}

// Run cancels a replay.
func (c *cancelReplayCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	return c.done(s)(take[grapnelapi.Replay](client.CancelReplayWithResponse(ctx, c.ID)))
}

// done shows the replay in its new state.
func (c *replayID) done(s Streams) func(body[grapnelapi.Replay], error) error {
	return func(r body[grapnelapi.Replay], err error) error {
		if err != nil {
			return err
		}
		return c.show(s, r.raw, func(p *printer) { p.replay(&r.value) })
	}
}

// replay prints a replay with its progress.
func (p *printer) replay(r *grapnelapi.Replay) {
	progress := ""
	if r.Progress != nil {
		progress = fmt.Sprintf("%d succeeded, %d failed, %d canceled, %d outstanding",
			r.Progress.Succeeded, r.Progress.Failed, r.Progress.Canceled, r.Progress.Outstanding)
	}
	p.facts(
		"id", r.ID, "state", string(r.State), "reason", clean(known(r.Reason)), "webhook", receivers(r), "status", string(r.Status),
		"status class", known(r.StatusClass), "error class", string(known(r.ErrorClass)), "event types", clean(strings.Join(known(r.EventTypes), ", ")),
		"reference", clean(known(r.Reference)), "chosen deliveries", number(int64(len(known(r.DeliveryIds)))),
		"since", moment(&r.Since), "until", moment(&r.Until), "looked to", moment(&r.LookedTo), "rate", number(r.Rate),
		"scanned", number(r.Scanned), "events", number(r.Events), "of these", progress, "created", moment(&r.CreatedAt), "ended", moment(r.EndedAt),
	)
	p.replayed(r)
}

// receivers returns the webhook of a replay, or how many it has.
func receivers(r *grapnelapi.Replay) string {
	switch {
	case r.WebhookID != "":
		return r.WebhookID
	case known(r.AllWebhooks):
		return "all"
	case len(known(r.WebhookIds)) == 1:
		return known(r.WebhookIds)[0]
	default:
		return fmt.Sprintf("%d webhooks", len(known(r.WebhookIds)))
	}
}
