package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	grapnelapi "grapnel/clients/go"
)

type replayCommand struct {
	connection
	output
	Webhooks    []string `name:"webhook" env:"-" placeholder:"ID" help:"A webhook that gets the events; may be repeated, or separated by commas."`
	All         bool     `env:"-" help:"All webhooks of the account get the events."`
	IDs         string   `name:"ids" env:"-" placeholder:"FILE" help:"Deliveries chosen one by one, from a file or, with -, from standard input: ids, one a line, or the answers of deliveries list --json. At most 1,000. The conditions below are then left out."`
	Since       when     `env:"-" placeholder:"TIME" help:"Events from this time on: 2026-01-15T12:00:00Z, 2026-01-15, 15:30, 3pm, yesterday or 2h (ago). A time without a zone is local."`
	Until       when     `env:"-" placeholder:"TIME" help:"Events before this time. Default: now."`
	Status      string   `enum:",failed,missing,all" default:"" env:"-" help:"failed (default): events with deliveries to the webhook but no successful one. missing: matching events without a delivery. all: all matching events."`
	StatusClass string   `enum:",2xx,3xx,4xx,5xx" default:"" env:"-" help:"Only deliveries whose last HTTP status is of this class: 2xx, 3xx, 4xx or 5xx."`
	ErrorClass  string   `enum:",status,redirect,timeout,refused,reset,unreachable,dns,tls,blocked,too_large,protocol,other" default:"" env:"-" help:"Only deliveries whose last attempt failed in this way: status, redirect, timeout, refused, reset, unreachable, dns, tls, blocked, too_large, protocol or other."`
	EventTypes  []string `env:"-" name:"event-type" help:"Only events of these types; also prefix.* and *; separated by commas."`
	Reference   string   `env:"-" help:"Only events with this reference."`
	Rate        int64    `env:"-" placeholder:"N" help:"Deliveries per second at most, of all webhooks together. Default: 100."`
	DryRun      bool     `env:"-" help:"Only count, for each webhook."`
	Wait        bool     `env:"-" help:"Wait for the end and show the progress. Exit code 6: some deliveries did not succeed, or the replay was canceled."`
}

// mostReplayIDs is the API's bound.
const mostReplayIDs = 1000

// Validate refuses combinations of flags without a meaning.
func (c *replayCommand) Validate() error {
	ways := 0
	for _, given := range []bool{len(c.Webhooks) > 0, c.All, c.IDs != ""} {
		if given {
			ways++
		}
	}
	conditions := !c.Since.IsZero() || !c.Until.IsZero() || c.Status != "" || c.StatusClass != "" || c.ErrorClass != "" || len(c.EventTypes) > 0 || c.Reference != ""
	switch {
	case ways == 0:
		return errors.New("say what to replay: --webhook=ID, --all or --ids=FILE")
	case ways > 1:
		return errors.New("give one of --webhook, --all and --ids")
	case c.IDs != "" && conditions:
		return errors.New("--ids chooses alone: leave out the times and the other conditions")
	case c.IDs == "" && c.Since.IsZero():
		return errors.New("--since is missing: the time from which on events are sent again")
	case c.DryRun && c.Wait:
		return errors.New("--dry-run sends nothing: there is nothing to --wait for")
	}
	return nil
}

// Run begins a replay, or counts what it would send.
func (c *replayCommand) Run(ctx context.Context, s Streams) error {
	client, err := c.client()
	if err != nil {
		return err
	}
	request, err := c.request(s)
	if err != nil {
		return err
	}
	answer, err := client.CreateReplayWithResponse(ctx, request)
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
	if c.Wait {
		return c.wait(ctx, s, client, r)
	}
	return c.show(s, r.raw, func(p *printer) { p.replay(&r.value) })
}

func (c *replayCommand) request(s Streams) (grapnelapi.CreateReplayRequest, error) {
	request := grapnelapi.CreateReplayRequest{
		Since: c.Since.given(), Until: c.Until.given(), StatusClass: given(c.StatusClass), ErrorClass: given(grapnelapi.ErrorClass(c.ErrorClass)),
		Reference: given(c.Reference), Rate: given(c.Rate), DryRun: given(c.DryRun),
	}
	if len(c.Webhooks) > 0 {
		request.WebhookIds = &c.Webhooks
	}
	if len(c.EventTypes) > 0 {
		request.EventTypes = &c.EventTypes
	}
	if c.IDs == "" {
		status := grapnelapi.ReplayStatus(c.Status)
		if status == "" {
			status = grapnelapi.ReplayStatusFailed
		}
		request.Status = &status
		return request, nil
	}
	in, _, err := s.open(c.IDs)
	if err != nil {
		return request, err
	}
	defer in.Close()
	ids, err := deliveryIDs(in)
	if err != nil {
		return request, failf(codeWrong, "--ids: %w", err)
	}
	request.DeliveryIds = &ids
	return request, nil
}

// deliveryIDs reads ids of deliveries: one a line, or in answers of deliveries list --json, one after the other.
func deliveryIDs(in io.Reader) ([]string, error) {
	raw, err := io.ReadAll(io.LimitReader(in, mostSaved))
	if err != nil {
		return nil, err
	}
	var ids []string
	if text := bytes.TrimSpace(raw); len(text) > 0 && text[0] == '{' {
		for decoder := json.NewDecoder(bytes.NewReader(text)); ; {
			var page struct{ Deliveries []struct{ ID string } }
			if err := decoder.Decode(&page); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, fmt.Errorf("want ids, or the answers of deliveries list --json: %w", err)
			}
			for _, d := range page.Deliveries {
				ids = append(ids, d.ID)
			}
		}
	} else {
		ids = strings.Fields(string(text))
	}
	slices.Sort(ids)
	switch ids = slices.Compact(ids); {
	case len(ids) == 0:
		return nil, errors.New("there are no ids")
	case len(ids) > mostReplayIDs:
		return nil, fmt.Errorf("there are %d ids, and a replay has at most %d", len(ids), mostReplayIDs)
	}
	return ids, nil
}

// replayPoll is the time between two looks at a replay.
const replayPoll = time.Second

// wait shows the progress of a replay until it has ended.
func (c *replayCommand) wait(ctx context.Context, s Streams, client *grapnelapi.ClientWithResponses, r body[grapnelapi.Replay]) error {
	fmt.Fprintf(s.Err, "replay %s\n", r.value.ID)
	look := time.NewTicker(replayPoll)
	defer look.Stop()
	var err error
	for {
		if r, err = take[grapnelapi.Replay](client.GetReplayWithResponse(ctx, r.value.ID)); err != nil {
			return err
		}
		if s.Live {
			fmt.Fprintf(s.Err, "\r\x1b[K%s", advance(&r.value))
		}
		if r.value.EndedAt != nil {
			break
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.Live {
		fmt.Fprint(s.Err, "\r\x1b[K")
	}
	if err := c.show(s, r.raw, func(p *printer) { p.replay(&r.value) }); err != nil {
		return err
	}
	switch progress := known(r.value.Progress); {
	case r.value.State != grapnelapi.ReplayStateCompleted:
		return failf(codeNo, "the replay is %s", r.value.State)
	case progress.Failed+progress.Canceled > 0:
		return failf(codeNo, "%d deliveries did not succeed", progress.Failed+progress.Canceled)
	}
	return nil
}

// advance describes how far a replay has come.
func advance(r *grapnelapi.Replay) string {
	text := fmt.Sprintf("%s: looked to %s, %d sent", r.State, moment(&r.LookedTo), r.Created)
	if p := r.Progress; p != nil {
		text += fmt.Sprintf(": %d succeeded, %d failed, %d outstanding", p.Succeeded, p.Failed, p.Outstanding)
	}
	return text
}

// estimate prints what a replay would send.
func (p *printer) estimate(n *grapnelapi.ReplayEstimate) {
	least := map[bool]string{true: "", false: "at least "}[n.Complete]
	p.facts("events", fmt.Sprintf("%s%d", least, n.Events))
	if n.Webhooks == nil {
		return
	}
	p.text.WriteByte('\n')
	rows := [][]string{{"WEBHOOK", "EVENTS", "LEFT OUT"}}
	for _, w := range *n.Webhooks {
		rows = append(rows, []string{w.WebhookID, fmt.Sprint(w.Events), words(string(known(w.LeftOut)))})
	}
	p.table(rows)
	p.omitted(known(n.WebhooksOmitted))
}

// replayed prints the webhooks of a replay over several.
func (p *printer) replayed(r *grapnelapi.Replay) {
	if r.Webhooks == nil {
		return
	}
	p.text.WriteByte('\n')
	rows := [][]string{{"WEBHOOK", "SUCCEEDED", "FAILED", "CANCELED", "OUTSTANDING", "NOTE"}}
	for _, w := range *r.Webhooks {
		note := ""
		switch {
		case w.LeftOut != nil:
			note = "left out: " + words(string(*w.LeftOut))
		case known(w.Behind):
			note = "behind"
		}
		rows = append(rows, []string{w.WebhookID, number(w.Succeeded), number(w.Failed), number(w.Canceled), number(w.Outstanding), note})
	}
	p.table(rows)
	p.omitted(known(r.WebhooksOmitted))
}

func (p *printer) omitted(more bool) {
	if more {
		p.text.WriteString("and others\n")
	}
}

// words turns a constant of the API into words.
func words(constant string) string { return strings.ReplaceAll(constant, "_", " ") }
