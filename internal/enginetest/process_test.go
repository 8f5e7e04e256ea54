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

	"grapnel/activities"
	"grapnel/internal/contract"
	engine "grapnel/internal/delivery"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/internal/maintenance"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// process is a Grapnel process with all roles.
type process struct {
	w     *world
	name  string
	store *steppedStore
	acts  *activities.Activities
	// stop ends its worker's run.
	stop func()
	// ctx is the context of all its operations; dead is closed when it is killed.
	ctx  context.Context //nolint:containedctx // it lives as long as the process
	kill context.CancelFunc
	dead chan struct{}
	once sync.Once
	// cut is set while it can't reach Temporal, leaving while its worker takes no tasks. busy counts its running
	// activities. The server's lock guards all three.
	cut, leaving bool
	busy         int

	// mu guards the fields that exist only while its loops run.
	mu      sync.Mutex
	starter *dispatch.Starter
	halt    context.CancelFunc
	loops   sync.WaitGroup
}

// testKey seals the webhooks' secrets.
const testKey = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

// How often a process sweeps and reconciles; in production every 2 s and every minute.
const (
	sweepEvery     = 4 * time.Second
	reconcileEvery = 10 * time.Second
	retention      = 4 * 24 * time.Hour
	// stopTimeout is how long running activities may take when a worker stops.
	stopTimeout = 40 * time.Second
	// processMemory is so small that large payloads must wait for each other.
	processMemory = 256 << 10
)

func newProcess(w *world, name string) (*process, error) {
	box, err := secrets.New(testKey)
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(w.ctx)
	p := &process{w: w, name: name, ctx: ctx, kill: kill, dead: make(chan struct{})}
	store, err := storage.Open(ctx, storage.Config{URL: w.url, Box: box})
	if err != nil {
		kill()
		return nil, err
	}
	drains, err := dispatch.NewDrains(way{w.temporal, p}, nil, nil)
	if err != nil {
		kill()
		store.Close()
		return nil, err
	}
	p.store = &steppedStore{Store: store, p: p}
	p.acts, err = activities.New(activities.Deps{
		Deps: engine.Deps{
			Store: p.store, Lookup: p.store, DeferredStore: p.store, Sender: sender{p}, Dispatcher: p, Drains: drains,
			Schedule: hook.DefaultSchedule(), Memory: processMemory,
			Logger: w.logger.With(slog.String("process", name)), Jitter: func(time.Duration) time.Duration { return 0 },
		},
		DrainStore: p.store, Replays: p.store,
	})
	if err != nil {
		kill()
		store.Close()
		return nil, err
	}
	p.stop = p.acts.Engine().Begin()
	return p, nil
}

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

// die ends the process as SIGKILL does.
func (p *process) die() {
	p.once.Do(func() {
		p.w.temporal.change(func() { close(p.dead) })
		p.kill()
		p.stop()
	})
}

// bury waits until the killed process has ended.
func (p *process) bury() {
	p.loops.Wait()
	p.store.Close()
}

// start starts its loops: starter, sweeper and reconciler.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil || p.isDead() {
		return nil
	}
	way := way{p.w.temporal, p}
	logger := p.w.logger.With(slog.String("process", p.name))
	starter, err := dispatch.NewStarter(dispatch.StarterConfig{
		Temporal: way, Outbox: p.store, Logger: logger, MaxEvents: 100,
	})
	if err != nil {
		return err
	}
	sweeper, err := dispatch.NewSweeper(dispatch.SweeperConfig{
		Starter: starter, Store: p.store, Temporal: way, Resetter: way, Health: way, Logger: logger, Interval: sweepEvery,
	})
	if err != nil {
		return err
	}
	reconciler, err := dispatch.NewReconciler(dispatch.ReconcilerConfig{
		Store: p.store, Temporal: way, Resetter: way, Health: way, Logger: logger, Interval: reconcileEvery,
	})
	if err != nil {
		return err
	}
	upkeep, err := maintenance.New(maintenance.Config{Store: p.store, Logger: logger, Retention: retention, CancelEvery: sweepEvery})
	if err != nil {
		return err
	}
	var ctx context.Context
	ctx, p.halt = context.WithCancel(p.ctx)
	p.starter = starter
	p.loops.Go(func() { _ = starter.Run(ctx, time.Second) })
	p.loops.Go(func() { _ = sweeper.Run(ctx) })
	p.loops.Go(func() { _ = upkeep.Run(ctx) })
	p.loops.Go(func() { _ = reconciler.Run(ctx) })
	return nil
}

// pause stops its loops, so that days pass quickly.
func (p *process) pause() {
	p.mu.Lock()
	halt := p.halt
	p.starter, p.halt = nil, nil
	p.mu.Unlock()
	if halt != nil {
		halt()
	}
	p.loops.Wait()
}

// Dispatch starts an accepted event, as the API does. If the process has no starter, the sweeper finds the event.
func (p *process) Dispatch(s hook.Start) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil {
		p.starter.Dispatch(s)
	}
}

func (p *process) drain(id hook.WebhookID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil {
		p.starter.Drain(id)
	}
}

func (p *process) replay(id hook.ReplayID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.starter != nil {
		p.starter.Replay(id)
	}
}

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
	// deadline is when Temporal times it out.
	deadline time.Time
	outcome  chan outcome

	mu   sync.Mutex
	task *task // nil when the task is no longer this run's
}

// begin starts an activity.
func (p *process) begin(o order, a *task) *activityRun {
	r := &activityRun{p: p, name: o.name, began: p.w.tick(), deadline: time.Now().Add(contract.RunTimeout), outcome: make(chan outcome, 1), task: a}
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

func (p *process) work(n int) {
	p.w.temporal.mu.Lock()
	defer p.w.temporal.mu.Unlock()
	p.busy += n
}

// rest ends its worker's run as a deploy does: running activities may finish.
func (p *process) rest() {
	t := p.w.temporal
	t.change(func() { p.leaving = true })
	p.stop()
	for until := time.Now().Add(stopTimeout); time.Now().Before(until); {
		t.mu.Lock()
		busy := p.busy
		t.mu.Unlock()
		if busy == 0 {
			return
		}
		time.Sleep(100 * time.Millisecond) //nolint:forbidigo // skipped time
	}
}

// again starts another run of its worker.
func (p *process) again() {
	p.stop = p.acts.Engine().Begin()
	p.w.temporal.change(func() { p.leaving = false })
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
	info.Deadline = o.run.deadline
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
