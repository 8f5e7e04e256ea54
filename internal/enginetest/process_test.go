package enginetest_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"grapnel/activities"
	engine "grapnel/internal/delivery"
	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
	"grapnel/internal/maintenance"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// process is a Grapnel process. Each serves the API and has a worker; those without an owner make no immediate attempts, as
// where each role has a process of its own.
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
	// owner is its lease of first attempts, and lease what the model knows of that; owner is nil if it has not both roles.
	// resting is set while it owns no further events.
	owner   *engine.Owner
	lease   lease
	resting atomic.Bool

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
	// startsPerSecond is a tenth of what it is in production, so that workflows are shared.
	startsPerSecond = 2
	// stopTimeout is how long running activities may take when a worker stops.
	stopTimeout = 40 * time.Second
	// processMemory is so small that large payloads must wait for each other.
	processMemory = 256 << 10
)

// newProcess returns a process. With both roles it makes the first attempts of the events that it accepts.
func newProcess(w *world, name string, both bool) (*process, error) {
	box, err := secrets.New(testKey)
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(w.ctx)
	p := &process{w: w, name: name, ctx: ctx, kill: kill, dead: make(chan struct{})}
	store, err := storage.Open(ctx, storage.Config{URL: w.url, Box: box, Owner: p.owns})
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
	deps := engine.Deps{
		Store: p.store, Lookup: p.store, DeferredStore: p.store, Sender: sender{p}, Dispatcher: p, Drains: drains, Heartbeats: p.store,
		Schedule: hook.DefaultSchedule(), Memory: w.plan.memory,
		Logger: w.logger.With(slog.String("process", name)), Jitter: func(time.Duration) time.Duration { return 0 },
	}
	if both {
		err = p.own(&deps)
	}
	if err == nil {
		p.acts, err = activities.New(activities.Deps{Deps: deps, DrainStore: p.store, Replays: p.store, Deletions: p.store})
	}
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
	p.acts.Engine().StopImmediate()
	_ = p.acts.Engine().AwaitImmediate(context.Background()) //nolint:forbidigo // the world's context has ended
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
		Temporal: way, Outbox: p.store, Logger: logger, MaxEvents: 100, StartsPerSecond: startsPerSecond,
	})
	if err != nil {
		return err
	}
	sweeper, err := dispatch.NewSweeper(dispatch.SweeperConfig{
		Starter: starter, Store: p.store, Temporal: way, Resetter: way, Health: way, Logger: logger, Interval: sweepEvery,
		Process: p.owner.Current,
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
	p.resting.Store(false)
	if p.owner != nil {
		p.loops.Go(func() { _ = p.owner.Run(ctx) })
	}
	p.loops.Go(func() { _ = starter.Run(ctx, time.Second) })
	p.loops.Go(func() { _ = sweeper.Run(ctx) })
	p.loops.Go(func() { _ = upkeep.Run(ctx) })
	p.loops.Go(func() { _ = reconciler.Run(ctx) })
	return nil
}

// pause stops its loops, so that days pass quickly.
func (p *process) pause() {
	p.resting.Store(true)
	_ = p.acts.Engine().AwaitImmediate(p.ctx) // it fails if the process was killed
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
