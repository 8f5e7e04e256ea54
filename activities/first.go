package activities

import (
	"context"
	"log/slog"
	"sync"

	"grapnel/internal/hook"
)

// At ordinary rates the first attempt is made by a local activity, inside of the
// workflow's first task: a quarter less time from publish to receipt, and a third
// less work for Temporal, than an activity of its own. The price is that a receiver
// that hangs then holds up a workflow task, of which a worker has far fewer than
// activities. So this way is for what promises to be quick, and what does not, or
// has an attempt to come, is the regular activity's.

// FirstResult is what came of the first attempts.
type FirstResult struct {
	DeliverResult
	// Done says that nothing is outstanding. Otherwise Deliver takes over, whether
	// anything was sent or not.
	Done bool `json:"done"`
	// Reason is why not, for a person.
	Reason string `json:"reason,omitempty"`
}

const (
	// maxFirst is how many local activities send at once, a third of a worker's
	// places for workflow tasks.
	maxFirst = 64
	// maxFirstInFlight is how many requests to one webhook may be under way before its
	// next events take the regular way: one that has just begun to hang gets no more
	// than that of the places above.
	maxFirstInFlight = 8
)

// DeliverFirst is Deliver as a local activity. It never fails: what it did not do is
// left to Deliver.
func (a *Activities) DeliverFirst(ctx context.Context, in DeliverInput) (FirstResult, error) {
	if !a.inFlight.enter() {
		return FirstResult{Reason: "busy"}, nil
	}
	defer a.inFlight.leave()
	jobs, err := a.loaded(ctx, in)
	if err != nil {
		a.log.WarnContext(ctx, "load deliveries", slog.Any("error", err))
		return FirstResult{Reason: "load deliveries: " + string(hook.KindOf(err))}, nil
	}
	for i := range jobs {
		if w := jobs[i].Webhook; w != nil && (w.Health != hook.HealthHealthy || a.inFlight.of(w.ID) >= maxFirstInFlight) {
			return FirstResult{Reason: w.ID.String() + " is slow or failing"}, nil
		}
	}
	result, err := a.deliver(ctx, in, jobs)
	if err != nil {
		return FirstResult{Reason: messageOf(err)}, nil
	}
	return FirstResult{DeliverResult: result, Done: true}, nil
}

// loaded is what Ahead has loaded, or what is loaded now.
func (a *Activities) loaded(ctx context.Context, in DeliverInput) ([]hook.Job, error) {
	if jobs := a.ahead.take(ctx, in.EventIDs[0], a.now()); len(jobs) > 0 {
		return jobs, nil
	}
	return a.store.Outstanding(ctx, in.EventIDs, in.Slice, in.Of)
}

// inFlight counts the requests of this process that are under way.
type inFlight struct {
	mu       sync.Mutex
	webhooks map[hook.WebhookID]int
	first    int
}

// enter takes one of the places for first attempts; false when there is none.
func (f *inFlight) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.first == maxFirst {
		return false
	}
	f.first++
	return true
}

func (f *inFlight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first--
}

// of is how many requests to the webhook are under way.
func (f *inFlight) of(id hook.WebhookID) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.webhooks[id]
}

// add counts a request that begins; call what it returns when it has ended.
func (f *inFlight) add(id hook.WebhookID) (done func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.webhooks[id]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.webhooks[id]--; f.webhooks[id] == 0 {
			delete(f.webhooks, id)
		}
	}
}
