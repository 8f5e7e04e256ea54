package dispatch_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.uber.org/goleak"

	"grapnel/internal/contract"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/internal/pgtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main{M: m}) }

// temporalServer takes starts as Temporal does, as far as dispatch sees.
type temporalServer struct {
	// start, if set, decides what comes of a start.
	start func(ctx context.Context, id string) error
	// get is what waiting for a workflow comes to.
	get func(ctx context.Context) error
	// nobody says that no worker has taken what was started.
	nobody bool
	// waiting is when the activity of what runs makes its next attempt.
	waiting time.Time
	// ready, if set, is whether it can be asked for something.
	ready func(ctx context.Context) error
	// taken says that a worker takes an order while it is taken back.
	taken bool

	mu       sync.Mutex
	calls    int
	inFlight int
	most     int
	order    []string
	started  map[string]client.StartWorkflowOptions
	inputs   map[string]any
	names    map[string]any
	resets   []string
	asked    int
	ended    bool
}

// asks is how often it was asked whether it is ready.
func (s *temporalServer) asks() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked
}

func (s *temporalServer) Ready(ctx context.Context) error {
	s.mu.Lock()
	s.asked++
	s.mu.Unlock()
	if s.ready == nil {
		return nil
	}
	return s.ready(ctx)
}

func (s *temporalServer) ResetActivity(_ context.Context, workflowID, _, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resets = append(s.resets, workflowID)
	return nil
}

func (s *temporalServer) DescribeWorkflowExecution(_ context.Context, id, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	d := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{HistoryLength: 5}}
	if !s.waiting.IsZero() {
		d = describe(id, activity("5", enumspb.PENDING_ACTIVITY_STATE_SCHEDULED, time.Until(s.waiting)))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.nobody && s.ended && s.taken:
		d.WorkflowExecutionInfo.HistoryLength = 6
	case s.nobody && s.ended:
		d.WorkflowExecutionInfo.HistoryLength = 3
	case s.nobody:
		d.WorkflowExecutionInfo.HistoryLength = 2
		d.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{State: enumspb.PENDING_WORKFLOW_TASK_STATE_SCHEDULED}
	}
	return d, nil
}

func (s *temporalServer) TerminateWorkflow(context.Context, string, string, string, ...any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return nil
}

func (s *temporalServer) ExecuteWorkflow(ctx context.Context, o client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error) {
	s.mu.Lock()
	s.calls++
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	s.mu.Unlock()
	err := ctx.Err()
	if err == nil && s.start != nil {
		err = s.start(ctx, o.ID)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if err != nil {
		return nil, err
	}
	if s.started == nil {
		s.started, s.inputs, s.names = map[string]client.StartWorkflowOptions{}, map[string]any{}, map[string]any{}
	}
	s.order = append(s.order, o.ID)
	s.started[o.ID], s.inputs[o.ID], s.names[o.ID] = o, args[0], workflow
	return run{get: s.get}, nil
}

func (s *temporalServer) numbers() (calls, started int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls, len(s.started)
}

// ids are the workflows started, in that order.
func (s *temporalServer) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// mostInFlight is how many starts were under way at once, at the most.
func (s *temporalServer) mostInFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.most
}

type run struct {
	client.WorkflowRun
	get func(ctx context.Context) error
}

func (run) GetID() string    { return "id" }
func (run) GetRunID() string { return "run" }

func (r run) Get(ctx context.Context, _ any) error {
	if r.get == nil {
		return nil
	}
	return r.get(ctx)
}

// hangs is a Temporal that does not answer.
func hangs(ctx context.Context, _ string) error {
	<-ctx.Done()
	return ctx.Err()
}

// outbox is a store's: what is accepted and not started.
type outbox struct {
	// failing, if set, decides whether a mark is taken.
	failing func(ctx context.Context) error

	mu      sync.Mutex
	waiting []hook.Start
	// all are those that were ever accepted.
	all []hook.Start
	// names are the workflows of events that have one: their own is the empty one.
	names map[hook.EventID]string
	// shared are the events of workflows that have several.
	shared map[string][]hook.EventID
	// claims are until when.
	claims map[hook.EventID]time.Time
	// sharing is what sharing fails with.
	sharing error
	marks   []int
	// pages are the sizes of those claimed; named is how often a workflow was named.
	pages  []int
	named  int
	tidied int
	// lost are webhooks whose drain got lost.
	lost []hook.WebhookID
	// lostReplays are replays that did.
	lostReplays []hook.ReplayID
	// losing is what listing lost drains comes to.
	losing error
	// untidy is what making partitions comes to.
	untidy error
}

func (o *outbox) LostReplays(context.Context, time.Duration, int) ([]hook.ReplayID, error) {
	return o.lostReplays, nil
}

func (o *outbox) PurgeReplays(context.Context, time.Duration) error { return nil }

func (o *outbox) LostDrains(context.Context, time.Duration, int) ([]hook.WebhookID, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lost := o.lost
	o.lost = nil // for a while
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

// ShareWorkflow names those that have no name, as the store does.
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

// name names an event's workflow; the caller holds the lock.
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

// members are all events of a workflow; the caller holds the lock.
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

// Unattempted: no worker runs here, and no test of these waits for one.
func (o *outbox) Unattempted(context.Context, []hook.EventID) (int, error) { return 0, nil }

func (o *outbox) Targets(_ context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error) {
	targets := map[hook.EventID][]hook.Target{}
	for _, id := range events {
		targets[id] = []hook.Target{targetOf(id)}
	}
	return targets, nil
}

// targetOf is the one webhook that an event is for.
func targetOf(id hook.EventID) hook.Target {
	return hook.Target{WebhookID: hook.WebhookID(id), Host: "example.com"}
}

func (o *outbox) EnsurePartitions(context.Context) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.tidied++
	return 0, o.untidy
}

func (o *outbox) DropOldPartitions(context.Context, time.Duration) (int, error) { return 0, nil }

func (o *outbox) CancelStaleTests(context.Context, time.Duration) error { return nil }

func (o *outbox) PurgeIdempotencyKeys(context.Context) (int64, error) { return 0, nil }

func (o *outbox) ForgetSecrets(context.Context) (int64, error) { return 0, nil }

// seen is what has been asked of the store so far.
func (o *outbox) seen() (marks, pages []int, tidied int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.marks), slices.Clone(o.pages), o.tidied
}

// claimed is how many are claimed by somebody.
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

// accept puts n events of now into the outbox and returns them.
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

func newStarter(t *testing.T, s *temporalServer, o *outbox, change func(*dispatch.StarterConfig)) *dispatch.Starter {
	t.Helper()
	c := dispatch.StarterConfig{Temporal: s, Outbox: o, Logger: slog.New(slog.DiscardHandler)}
	if change != nil {
		change(&c)
	}
	starter, err := dispatch.NewStarter(c)
	require.NoError(t, err)
	return starter
}

// running runs f and returns how to stop it and wait for its end.
func running(t *testing.T, f func(ctx context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
}

// pass lets the bubble's time pass, and what is then due happen.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func idOf(s hook.Start) string { return contract.DeliverID(s.EventID) }
