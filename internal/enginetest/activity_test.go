package enginetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
)

// outcome is the result of an activity.
type outcome struct {
	value any
	err   error
}

// activityRun is one run of an activity in a process.
type activityRun struct {
	p     *process
	name  string
	began int64
	// ordered is when the workflow ordered the activity, at when this run began, and deadline when Temporal times it out.
	ordered, at, deadline time.Time
	outcome               chan outcome

	mu   sync.Mutex
	task *task // nil when the task is no longer this run's
}

// begin starts an activity.
func (p *process) begin(o order, a *task) *activityRun {
	now := time.Now()
	r := &activityRun{p: p, name: o.name, began: p.w.tick(), ordered: now, at: now, deadline: now.Add(contract.RunTimeout), outcome: make(chan outcome, 1), task: a}
	if !o.at.IsZero() {
		r.ordered = o.at
	}
	p.work(1)
	p.w.runs.Go(func() {
		defer p.work(-1)
		value, err := p.run(r, o)
		if !p.isDead() {
			r.outcome <- outcome{value, err}
		}
	})
	return r
}

// over detaches the run: Temporal ignores it from now on.
func (r *activityRun) over() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.task = nil
}

func (p *process) run(r *activityRun, o order) (any, error) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	suite.SetDisableRegistrationAliasing(true)
	env := suite.NewTestActivityEnvironment()
	env.SetTestTimeout(2 * contract.RunTimeout)
	env.SetWorkerOptions(sdkworker.Options{
		BackgroundActivityContext: p.ctx, Interceptors: []interceptor.WorkerInterceptor{&intercepted{run: r}},
	})
	var f, result any
	switch o.name {
	case contract.ActivityDeliverFirst:
		f, result = p.acts.DeliverFirst, &contract.InlineResult{}
	case contract.ActivityDeliver:
		f, result = p.acts.Deliver, &contract.DeliverResult{}
	case contract.ActivityDrain:
		f, result = p.acts.Drain, &contract.DrainResult{}
	case contract.ActivityReplay:
		f, result = p.acts.Replay, &contract.ReplayResult{}
	case contract.ActivitySendNow:
		f, result = p.acts.SendNow, &contract.Outcome{}
	default:
		return nil, fmt.Errorf("no activity is called %s", o.name)
	}
	env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: o.name})
	execute := env.ExecuteActivity
	if o.local {
		execute = env.ExecuteLocalActivity
	}
	value, err := execute(f, o.input)
	if err != nil {
		return nil, err
	}
	if err := value.Get(result); err != nil {
		return nil, err
	}
	if first, ok := result.(*contract.InlineResult); ok {
		return *first, nil
	}
	return result, nil
}

// intercepted gives an activity the deadline, heartbeats and context of its run, which the test environment can't
// be given otherwise.
type intercepted struct {
	interceptor.WorkerInterceptorBase
	run *activityRun
}

func (i *intercepted) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &inbound{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, run: i.run}
}

type inbound struct {
	interceptor.ActivityInboundInterceptorBase
	run *activityRun
}

func (i *inbound) Init(next interceptor.ActivityOutboundInterceptor) error {
	return i.Next.Init(&outbound{ActivityOutboundInterceptorBase: interceptor.ActivityOutboundInterceptorBase{Next: next}, run: i.run})
}

func (i *inbound) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	ctx, cancel := context.WithDeadline(context.WithValue(ctx, runKey{}, i.run), i.run.deadline)
	defer cancel()
	return i.Next.ExecuteActivity(ctx, in)
}

type outbound struct {
	interceptor.ActivityOutboundInterceptorBase
	run *activityRun
}

func (o *outbound) GetInfo(ctx context.Context) activity.Info {
	info := o.Next.GetInfo(ctx)
	info.ScheduledTime, info.StartedTime, info.Deadline = o.run.ordered, o.run.at, o.run.deadline
	return info
}

func (o *outbound) RecordHeartbeat(_ context.Context, details ...any) {
	text, err := json.Marshal(details[0])
	if err != nil || o.run.p.isDead() {
		return
	}
	o.run.mu.Lock()
	defer o.run.mu.Unlock()
	if o.run.task != nil {
		o.run.task.heartbeat = text
	}
}

func (o *outbound) HasHeartbeatDetails(context.Context) bool {
	o.run.mu.Lock()
	defer o.run.mu.Unlock()
	return o.run.task != nil && o.run.task.heartbeat != nil
}

func (o *outbound) GetHeartbeatDetails(_ context.Context, d ...any) error {
	o.run.mu.Lock()
	defer o.run.mu.Unlock()
	return json.Unmarshal(o.run.task.heartbeat, d[0])
}
