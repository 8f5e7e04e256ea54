package enginetest_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// firstTaskTimeout is when the workflow task of a killed worker goes to another worker.
const firstTaskTimeout = 20 * time.Second

// errGone is the error of operations for a workflow that was lost.
var errGone = errors.New("the workflow is gone")

// order is an activity that a workflow schedules.
type order struct {
	name  string
	local bool
	input any
	// at is when the workflow gave the order; zero is now.
	at     time.Time
	policy temporal.RetryPolicy
	// patience is how long to wait for a worker; 0 means without limit.
	patience time.Duration
}

// workflow runs the activities that the workflow with that input schedules. Package workflows tests the real code.
// It is written again here, because no test environment can lose the workflows that it runs.
func (t *server) workflow(e *execution, by *process) (any, error) {
	drain := temporal.RetryPolicy{InitialInterval: 5 * time.Second, BackoffCoefficient: 1, MaximumInterval: 10 * time.Minute}
	switch in := e.input.(type) {
	case contract.DeliverInput:
		if in.Done != nil {
			return *in.Done, nil
		}
		deliver := contract.SliceInput{EventIDs: in.EventIDs, Deliveries: in.Deliveries, Of: 1, Owner: in.Owner}
		if in.Inline {
			first, err := t.local(e, by, order{name: contract.ActivityDeliverFirst, local: true, input: deliver})
			if err != nil {
				return nil, err
			}
			if r, ok := first.(contract.InlineResult); ok && r.Done {
				return r.DeliverResult, nil
			}
		}
		return t.activity(e, order{name: contract.ActivityDeliver, input: deliver, policy: *workflows.RetryPolicy(hook.DefaultSchedule())})
	case contract.DrainInput:
		return t.activity(e, order{name: contract.ActivityDrain, input: contract.DrainInput{WebhookID: in.WebhookID}, policy: drain})
	case contract.ReplayInput:
		return t.activity(e, order{name: contract.ActivityReplay, input: contract.ReplayInput{ReplayID: in.ReplayID}, policy: drain})
	case contract.SendNowInput:
		return t.activity(e, order{
			name: contract.ActivitySendNow, input: contract.SendNowInput{DeliveryID: in.DeliveryID},
			policy: temporal.RetryPolicy{MaximumAttempts: 1}, patience: 10 * time.Second,
		})
	}
	return nil, fmt.Errorf("no workflow has an input of type %T", e.input)
}

// local runs a local activity within a workflow task: in the process that started the workflow if it is available,
// else, or if that process does not answer, in another one.
func (t *server) local(e *execution, by *process, o order) (any, error) {
	for p := by; ; p = nil {
		if p == nil || !t.takes(p) {
			var err error
			if p, err = t.worker(e, 0); err != nil {
				return nil, err
			}
		}
		r := p.begin(o, nil)
		// The SDK extends a task's time for as long as its process lives.
		late := time.After(firstTaskTimeout)
		select {
		case out := <-r.outcome:
			if out.err != nil { // the regular activity sees the error as well
				return contract.InlineResult{}, nil
			}
			if t.reachable(p) {
				return out.value, nil
			}
		case <-p.dead:
		case <-e.gone:
			return nil, errGone
		}
		select {
		case <-late:
		case <-e.gone:
			return nil, errGone
		}
	}
}

// activity runs an activity until it succeeds or fails for good.
func (t *server) activity(e *execution, o order) (any, error) {
	a := &task{id: "5", reset: make(chan struct{}, 1)}
	o.at = time.Now()
	t.mu.Lock()
	e.tasks = append(e.tasks, a)
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		e.tasks = slices.DeleteFunc(e.tasks, func(other *task) bool { return other == a })
	}()
	for attempt := 1; ; attempt++ {
		p, err := t.worker(e, o.patience)
		if err != nil {
			return nil, err
		}
		out, err := t.attempt(e, a, p, o)
		if err != nil {
			return nil, err
		}
		if out.err == nil {
			return out.value, nil
		}
		delay := backoff(o.policy, attempt)
		var app *temporal.ApplicationError
		if errors.As(out.err, &app) {
			if app.NonRetryable() {
				return nil, out.err
			}
			if app.NextRetryDelay() > 0 {
				delay = app.NextRetryDelay()
			}
		}
		if o.policy.MaximumAttempts > 0 && attempt >= int(o.policy.MaximumAttempts) {
			return nil, out.err
		}
		t.setTask(a, false, time.Now().Add(delay))
		select {
		case <-time.After(delay):
		case <-a.reset:
			attempt = 0
		case <-e.gone:
			return nil, errGone
		}
	}
}

// attempt makes one attempt. An error ends the workflow.
func (t *server) attempt(e *execution, a *task, p *process, o order) (outcome, error) {
	t.setTask(a, true, time.Time{})
	defer t.setTask(a, false, time.Time{})
	r := p.begin(o, a)
	defer r.over()
	late := time.After(contract.RunTimeout)
	var out outcome
	select {
	case out = <-r.outcome:
	case <-late:
		return outcome{err: errors.New("activity timed out")}, nil
	case <-e.gone:
		return outcome{}, errGone
	}
	// The worker repeats its answer while Temporal is unavailable.
	for !t.reachable(p) || p.isDead() {
		select {
		case <-t.changes():
		case <-late:
			return outcome{err: errors.New("activity timed out")}, nil
		case <-e.gone:
			return outcome{}, errGone
		}
	}
	return out, nil
}

func (t *server) setTask(a *task, running bool, next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	a.running, a.next = running, next
}

// worker waits for a process that takes tasks.
func (t *server) worker(e *execution, patience time.Duration) (*process, error) {
	var late <-chan time.Time
	if patience > 0 {
		late = time.After(patience)
	}
	for {
		time.Sleep(callTime) //nolint:forbidigo // skipped time
		changed := t.changes()
		if p := t.w.anyWorker(); p != nil {
			return p, nil
		}
		select {
		case <-changed:
		case <-late:
			return nil, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
		case <-e.gone:
			return nil, errGone
		}
	}
}

func backoff(p temporal.RetryPolicy, attempt int) time.Duration {
	d := float64(p.InitialInterval) * math.Pow(p.BackoffCoefficient, float64(attempt-1))
	return time.Duration(min(d, float64(p.MaximumInterval)))
}
