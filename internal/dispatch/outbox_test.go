package dispatch_test

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// outbox is a store in memory. Its events are accepted and not started.
type outbox struct {
	// failing, if set, returns the error of removing started events.
	failing func(ctx context.Context) error

	mu      sync.Mutex
	waiting []hook.Start
	// all has every event that was ever accepted.
	all []hook.Start
	// names has the workflows of events that have one; the empty name is the event's own workflow.
	names map[hook.EventID]string
	// shared has the events of each workflow that several events share.
	shared map[string][]hook.EventID
	// claims has the time at which the claim of each event ends.
	claims map[hook.EventID]time.Time
	// sharing is the error of ShareWorkflow.
	sharing error
	marks   []int
	// pages has the sizes of the claimed pages. named counts the calls of ShareWorkflow that named a workflow.
	pages []int
	named int
	// lost has webhooks whose drain was lost.
	lost []hook.WebhookID
	// lostReplays has lost replays.
	lostReplays []hook.ReplayID
	// lostDeletions has tenants whose deletion was lost.
	lostDeletions []hook.TenantID
	// losing is the error of LostDrains.
	losing error
}

func (o *outbox) LostReplays(context.Context, time.Duration, int) ([]hook.ReplayID, error) {
	return o.lostReplays, nil
}

func (o *outbox) LostDeletions(context.Context, time.Duration, int) ([]hook.TenantID, error) {
	return o.lostDeletions, nil
}

func (o *outbox) LostDrains(context.Context, time.Duration, int) ([]hook.WebhookID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lost := o.lost
	o.lost = nil // a lost drain is returned once
	return lost, o.losing
}

func (o *outbox) Started(ctx context.Context, events []hook.EventID) error {
	if o.failing != nil {
		if err := o.failing(ctx); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.marks = append(o.marks, len(events))
	gone := map[hook.EventID]bool{}
	for _, id := range events {
		gone[id] = true
	}
	o.waiting = slices.DeleteFunc(o.waiting, func(s hook.Start) bool { return gone[s.EventID] })
	return nil
}

// ShareWorkflow names the workflow of events that have none, as the store does.
func (o *outbox) ShareWorkflow(_ context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sharing != nil {
		return nil, o.sharing
	}
	o.named++
	var given []hook.EventID
	for _, id := range events {
		if _, ok := o.names[id]; !ok {
			given = append(given, id)
			o.name(id, workflowID)
		}
	}
	return given, nil
}

// give names an event's workflow, as another process does.
func (o *outbox) give(id hook.EventID, workflowID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.name(id, workflowID)
}

// name names an event's workflow. The caller holds the lock.
func (o *outbox) name(id hook.EventID, workflowID string) {
	if o.names == nil {
		o.names, o.shared = map[hook.EventID]string{}, map[string][]hook.EventID{}
	}
	o.names[id] = workflowID
	if workflowID != "" {
		o.shared[workflowID] = append(o.shared[workflowID], id)
	}
}

func (o *outbox) ClaimUnstarted(_ context.Context, c hook.OutboxClaim) (page hook.OutboxPage, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.claims == nil {
		o.claims = map[hook.EventID]time.Time{}
	}
	var workflows []string
	looked := 0
	for _, s := range o.waiting {
		if bytes.Compare(s.EventID[:], c.After[:]) <= 0 || looked == c.Limit {
			continue
		}
		looked++
		page.Last, page.More = s.EventID, looked == c.Limit
		if time.Since(s.EventID.Time()) <= c.Age || slices.Contains(c.Except, s.EventID) || o.claims[s.EventID].After(time.Now()) {
			continue
		}
		page.Events = append(page.Events, s.EventID)
		o.claims[s.EventID] = time.Now().Add(c.For)
		switch workflow, ok := o.names[s.EventID]; {
		case !ok:
			page.Unnamed = append(page.Unnamed, s)
		case workflow == "":
			page.Named = append(page.Named, []hook.Start{s})
		case !slices.Contains(workflows, workflow):
			workflows = append(workflows, workflow)
			page.Named = append(page.Named, o.members(workflow))
		}
	}
	if len(page.Events) > 0 {
		o.pages = append(o.pages, len(page.Events))
	}
	return page, nil
}

// members returns all events of a workflow. The caller holds the lock.
func (o *outbox) members(workflow string) (list []hook.Start) {
	for _, s := range o.all {
		if slices.Contains(o.shared[workflow], s.EventID) {
			s.WorkflowID = workflow
			list = append(list, s)
		}
	}
	return list
}

func (o *outbox) Unclaim(ctx context.Context, events []hook.EventID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range events {
		delete(o.claims, id)
	}
	return nil
}

// Unattempted returns 0: no worker runs here, and no test with this outbox waits for attempts.
func (o *outbox) Unattempted(context.Context, []hook.EventID) (int, error) { return 0, nil }

func (o *outbox) Targets(_ context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error) {
	targets := map[hook.EventID][]hook.Target{}
	for _, id := range events {
		targets[id] = []hook.Target{targetOf(id)}
	}
	return targets, nil
}

// targetOf returns the only webhook of an event.
func targetOf(id hook.EventID) hook.Target {
	return hook.Target{WebhookID: hook.WebhookID(id), Host: "example.com"}
}

// seen returns the numbers of events that were removed together, and the sizes of the claimed pages.
func (o *outbox) seen() (marks, pages []int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.marks), slices.Clone(o.pages)
}

// claimed returns how many events are claimed.
func (o *outbox) claimed() (n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, s := range o.waiting {
		if o.claims[s.EventID].After(time.Now()) {
			n++
		}
	}
	return n
}

func (o *outbox) left() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.waiting)
}

// accept puts n events of the present into the outbox and returns their starts.
func (o *outbox) accept(n int) []hook.Start {
	o.mu.Lock()
	defer o.mu.Unlock()
	starts := make([]hook.Start, n)
	at := hook.IDTime(time.Now())
	for i := range starts {
		id := hook.EventID(at)
		at[13], at[14], at[15] = byte((i+1)>>16), byte((i+1)>>8), byte(i+1)
		starts[i] = hook.Start{EventID: id, TenantID: hook.DefaultTenant(), EventType: "user.created", Deliveries: 1}
	}
	o.waiting, o.all = append(o.waiting, starts...), append(o.all, starts...)
	return starts
}
