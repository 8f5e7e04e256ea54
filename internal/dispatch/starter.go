// Package dispatch starts workflows for what the store has accepted: at once and
// off the request's path (Starter), later for what a crash or an outage left
// behind (Sweeper), and while the caller waits for what is sent by hand
// (SendNow). The store's outbox is the truth about what is to be started; losing
// all of this package's memory loses nothing.
package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/tracing"
	"grapnel/workflows"
)

// Temporal starts workflows; client.Client does.
type Temporal interface {
	ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
}

// Outbox holds the accepted events whose workflow has not been started.
type Outbox interface {
	// Started removes events from the outbox.
	Started(ctx context.Context, events []hook.EventID) error
	// ShareWorkflow names the workflow of events before it is started, the empty name
	// being each event's own, and returns those that had none.
	ShareWorkflow(ctx context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error)
}

// StarterConfig is what NewStarter needs; the first three are required.
type StarterConfig struct {
	Temporal Temporal
	Outbox   Outbox
	Logger   *slog.Logger
	// Ahead, where a worker is in this process, tells it of an event whose workflow is
	// about to be started; it must not wait.
	Prefetch func(ctx context.Context, event hook.EventID)
	// Labels says what drains and replays are about; nil says nothing.
	Labels Labels
	// Metrics counts starts; nil counts none.
	Metrics Metrics
	// Tracer keeps workflows in the traces of their publishes; nil keeps none.
	Tracer *tracing.Tracer
	// Workers is how many starts are under way at once; default 8.
	Workers int
	// MaxEvents is how many events may share a workflow; default 1.
	MaxEvents int
	// Queue is how many events wait for a start; default 10,000. What is over is
	// left to the sweeper.
	Queue int
}

// Starter starts the workflow of each event it is given.
type Starter struct {
	config  StarterConfig
	queue   chan hook.Start
	started chan hook.EventID
	// errands are workflows to start beside those of events.
	errands chan errand
	// slots are taken by starts that are under way.
	slots chan struct{}
	// ended says that a start has ended.
	ended chan struct{}
	// mine are the events that no sweeper of this process need see to.
	mine pending
	// awayAt is when Temporal was away last, in nanoseconds since begun.
	awayAt atomic.Int64
	begun  time.Time
}

const (
	defaultStarters = 8
	defaultQueue    = 10_000
	// mostErrands is how many drains and replays wait to be started.
	mostErrands = 1000
	// startTimeout bounds one start; the sweeper has another go at what it cuts off.
	startTimeout = 10 * time.Second
	// markEvery is how long started events are gathered before the outbox is told.
	markEvery  = 100 * time.Millisecond
	markAtMost = 500
	// restFor is how long nothing is begun after Temporal was away. What comes meanwhile
	// shares workflows; without it, where starts fail at once, each event would get the
	// name of a workflow of its own, to be started one by one later.
	restFor = time.Second
)

// NewStarter checks the configuration; it starts nothing.
func NewStarter(c StarterConfig) (*Starter, error) {
	if c.Temporal == nil || c.Outbox == nil || c.Logger == nil {
		return nil, errors.New("starter: temporal, outbox and logger are required")
	}
	if c.Metrics == nil {
		c.Metrics = uncounted{}
	}
	if c.Workers == 0 {
		c.Workers = defaultStarters
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	c.MaxEvents = max(c.MaxEvents, 1)
	return &Starter{
		config: c, queue: make(chan hook.Start, c.Queue), started: make(chan hook.EventID, c.Queue), slots: make(chan struct{}, c.Workers),
		ended: make(chan struct{}, 1), errands: make(chan errand, mostErrands), begun: time.Now(),
	}, nil
}

// Queued is how many events wait for a start.
func (s *Starter) Queued() int { return len(s.queue) }

// Dispatch takes an accepted event on. It never waits: when too many are
// waiting, this one is left to the sweeper.
func (s *Starter) Dispatch(start hook.Start) {
	s.mine.add(start.EventID)
	select {
	case s.queue <- start:
	default:
		s.mine.remove(start.EventID)
	}
}

// Run starts what Dispatch takes until ctx ends, then what is still queued, for
// as long as drain allows.
func (s *Starter) Run(ctx context.Context, drain time.Duration) error {
	// Starts go on after ctx has ended, to drain; late ends that.
	late, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(drain, stop)
		context.AfterFunc(late, func() { timer.Stop() })
	})
	var marking, starting sync.WaitGroup
	marking.Go(func() { s.mark(ctx) })
	starting.Go(func() { s.runErrands(ctx) })
	for first, ok := s.next(ctx, late); ok; first, ok = s.next(ctx, late) {
		for _, burst := range s.gather(ctx, first) {
			s.slots <- struct{}{}
			starting.Go(func() {
				s.beginBurst(late, burst)
				<-s.slots
				select {
				case s.ended <- struct{}{}:
				default: // it is known already
				}
			})
		}
	}
	starting.Wait()
	close(s.started)
	marking.Wait()
	return nil
}

// next is the next event that waits; false when there is none and ctx has ended, or
// when it is too late.
func (s *Starter) next(ctx, late context.Context) (hook.Start, bool) {
	s.rest(ctx)
	select {
	case start := <-s.queue:
		return start, late.Err() == nil
	default:
	}
	select {
	case start := <-s.queue:
		return start, true
	case <-ctx.Done():
		return hook.Start{}, false
	}
}

// rest waits while Temporal was away a moment ago, unless ctx has ended.
func (s *Starter) rest(ctx context.Context) {
	at := s.awayAt.Load()
	wait := restFor - (time.Since(s.begun) - time.Duration(at))
	if at == 0 || wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (s *Starter) begin(ctx context.Context, start hook.Start) {
	err := s.start(ctx, start)
	s.config.Metrics.Started(ByStarter, len(start.Others)+1, err)
	if isAway(err) {
		s.awayAt.Store(int64(time.Since(s.begun)))
	}
	if err != nil {
		// The sweeper will start it; an outage need not fill the log.
		s.config.Logger.DebugContext(ctx, "start deferred", slog.String("event_id", start.EventID.String()), slog.Any("error", err))
		s.mine.remove(start.EventIDs()...)
		return
	}
	for _, id := range start.EventIDs() {
		s.started <- id
	}
}

// start starts the event's workflow, or finds it started.
func (s *Starter) start(ctx context.Context, start hook.Start) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := workflows.DeliverStart(start)
	if input.Inline && s.config.Prefetch != nil {
		s.config.Prefetch(ctx, start.EventID)
	}
	ctx, end := s.config.Tracer.Starting(ctx, &start)
	defer end()
	_, err := s.config.Temporal.ExecuteWorkflow(ctx, options, contract.NameDeliver, input)
	return err
}

// mark tells the outbox what has been started, many at a time, until nothing
// more is. Forgetting to costs a second start, which finds the first: so once
// ctx has ended, one mark that fails is the last.
func (s *Starter) mark(ctx context.Context) {
	ticker := time.NewTicker(markEvery)
	defer ticker.Stop()
	var batch []hook.EventID
	gaveUp := false
	flush := func() {
		defer func() {
			s.mine.remove(batch...)
			batch = batch[:0]
		}()
		if len(batch) == 0 || gaveUp {
			return
		}
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
		defer cancel()
		if err := s.config.Outbox.Started(write, batch); err != nil {
			s.config.Logger.WarnContext(ctx, "outbox not updated; the sweeper will", slog.Any("error", err))
			gaveUp = ctx.Err() != nil
		}
	}
	defer flush()
	for {
		select {
		case id, ok := <-s.started:
			if !ok {
				return
			}
			if batch = append(batch, id); len(batch) >= markAtMost {
				flush()
			}
		case <-ticker.C:
			flush()
		}
	}
}
