// Package dispatch starts workflows for accepted work. The Starter starts them at once, without delaying the request.
// The Sweeper starts later the workflows that a crash or an outage left unstarted, and the Reconciler restarts
// workflows that were lost. SendNow starts one while its caller waits for the outcome. The store's outbox lists the
// events whose workflow has not been started: if a process loses everything that this package has in memory, nothing is
// lost.
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
	"grapnel/internal/metrics/measure"
	"grapnel/internal/tracing"
	"grapnel/internal/wait"
	"grapnel/workflows"
)

// Temporal starts workflows; client.Client does.
type Temporal interface {
	ExecuteWorkflow(ctx context.Context, options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
}

// Outbox has the accepted events whose workflow has not been started.
type Outbox interface {
	// Started removes events from the outbox.
	Started(ctx context.Context, events []hook.EventID) error
	// ShareWorkflow names the workflow of events before it is started. The empty name stands for each event's own
	// workflow. It returns the events that had no workflow before.
	ShareWorkflow(ctx context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error)
}

// StarterConfig is the configuration of NewStarter. Temporal, Outbox and Logger are required.
type StarterConfig struct {
	Temporal Temporal
	Outbox   Outbox
	Logger   *slog.Logger
	// Labels describes drains and replays; nil leaves their description empty.
	Labels Labels
	// Metrics counts starts; nil counts nothing.
	Metrics Metrics
	// Tracer puts workflows into the traces of their publishes; nil traces nothing.
	Tracer *tracing.Tracer
	// Workers is how many starts are under way at once; default 8.
	Workers int
	// MaxEvents is how many events may share a workflow; default 1.
	MaxEvents int
	// StartsPerSecond is the pace of the starts that can wait (see Attempted); 0 is no pace.
	StartsPerSecond float64
	// Queue is how many events can wait for their start; default 10,000. Further events are left to the sweeper.
	Queue int
}

// Starter starts the workflow of each event that it is given.
type Starter struct {
	config StarterConfig
	aux    auxStarter
	queue  chan hook.Start
	// attempted has the events whose start can wait, and pacedEvents counts those that runPaced has taken from it.
	attempted   chan attempted
	pacedEvents atomic.Int64
	started     chan hook.EventID
	// auxQueue has the auxiliary workflows to start.
	auxQueue chan auxStart
	// slots has an element for each start that is under way.
	slots chan struct{}
	// ended gets an element when a start has ended.
	ended chan struct{}
	// inProgress are the events that this starter works on, and expected those that it will be given. The sweeper of
	// this process leaves both alone.
	inProgress, expected inProgress
	// unavailableAt is when Temporal was last unavailable, in nanoseconds since begun; 0 is never.
	unavailableAt atomic.Int64
	begun         time.Time
}

const (
	defaultStarters = 8
	defaultQueue    = 10_000
	// maxAux is how many auxiliary workflows can wait for their start.
	maxAux = 1000
	// startTimeout bounds one start. The sweeper tries again the starts that it cuts off.
	startTimeout = 10 * time.Second
	// markEvery is how long started events are collected before they are removed from the outbox.
	markEvery  = 100 * time.Millisecond
	markAtMost = 500
	// restFor is how long nothing is started after Temporal was unavailable. Events that come meanwhile share
	// workflows. Without it, while starts fail at once, each event would get a workflow of its own, to be started one
	// by one later.
	restFor = time.Second
)

// NewStarter checks the configuration and sets defaults. It starts nothing.
func NewStarter(c StarterConfig) (*Starter, error) {
	if c.Temporal == nil || c.Outbox == nil || c.Logger == nil {
		return nil, errors.New("starter: temporal, outbox and logger are required")
	}
	c.Metrics = counting(c.Metrics)
	if c.Workers == 0 {
		c.Workers = defaultStarters
	}
	if c.Queue == 0 {
		c.Queue = defaultQueue
	}
	c.MaxEvents = max(c.MaxEvents, 1)
	return &Starter{
		config: c, aux: auxStarter{temporal: c.Temporal, labels: c.Labels, metrics: c.Metrics},
		queue: make(chan hook.Start, c.Queue), attempted: make(chan attempted, c.Queue), started: make(chan hook.EventID, c.Queue), slots: make(chan struct{}, c.Workers),
		ended: make(chan struct{}, 1), auxQueue: make(chan auxStart, maxAux), begun: time.Now(),
	}, nil
}

// Queued returns how many events wait for their start.
func (s *Starter) Queued() int { return len(s.queue) + len(s.attempted) + int(s.pacedEvents.Load()) }

// eventsInProgress returns the events that the sweeper leaves to this starter.
func (s *Starter) eventsInProgress() []hook.EventID {
	return append(s.expected.all(), s.inProgress.all()...)
}

// concurrency returns how many starts may be under way at once.
func (s *Starter) concurrency() int { return s.config.Workers }

// Dispatch queues the start of an accepted event. It never blocks: when the queue is full, the event is left to the
// sweeper.
func (s *Starter) Dispatch(start hook.Start) {
	s.inProgress.add(start.EventID)
	select {
	case s.queue <- start:
	default:
		s.inProgress.remove(start.EventID)
	}
}

// Run starts queued events until ctx ends. Then it starts the events that are still queued, for at most as long as
// shutdown.
func (s *Starter) Run(ctx context.Context, shutdown time.Duration) error {
	// late is the context of starts after ctx has ended. It ends when the time for shutdown is over.
	late, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(shutdown, stop)
		context.AfterFunc(late, func() { timer.Stop() })
	})
	var marking, starting sync.WaitGroup
	marking.Go(func() { s.mark(ctx) })
	starting.Go(func() { s.runAux(ctx) })
	starting.Go(func() { s.runPaced(ctx, late, &starting) })
	for taken, ok := s.next(ctx, late); ok; taken, ok = s.next(ctx, late) {
		for _, burst := range s.gather(ctx, taken) {
			s.slots <- struct{}{}
			s.goStart(late, burst, &starting)
		}
	}
	starting.Wait()
	close(s.started)
	marking.Wait()
	return nil
}

// goStart starts a burst. The caller has taken a slot for it.
func (s *Starter) goStart(ctx context.Context, b *burst, starting *sync.WaitGroup) {
	starting.Go(func() {
		s.startBurst(ctx, b)
		<-s.slots
		select {
		case s.ended <- struct{}{}:
		default: // an element is there already
		}
	})
}

// next takes an event from the queue. After ctx has ended it returns false when the queue is empty or late has ended.
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

// rest blocks if Temporal was unavailable a moment ago, until restFor has passed or ctx ends.
func (s *Starter) rest(ctx context.Context) {
	if pause := s.resting(); pause > 0 {
		_ = wait.For(ctx, pause) // the caller looks at ctx
	}
}

// resting returns how long nothing is to be started, because Temporal was unavailable a moment ago; 0 or less if that is
// over.
func (s *Starter) resting() time.Duration {
	at := s.unavailableAt.Load()
	if at == 0 {
		return 0
	}
	return restFor - (time.Since(s.begun) - time.Duration(at))
}

// begin starts a workflow whose name is stored.
func (s *Starter) begin(ctx context.Context, start hook.Start) {
	err := s.startEvents(ctx, start, measure.ByStarter)
	if isUnavailable(err) {
		s.unavailableAt.Store(int64(time.Since(s.begun)))
	}
	if err != nil {
		// The sweeper will start it. An outage must not fill the log.
		s.config.Logger.DebugContext(ctx, "start left to the sweeper", slog.String("event_id", start.EventID.String()), slog.Any("error", err))
		s.inProgress.remove(start.EventIDs()...)
		return
	}
	for _, id := range start.EventIDs() {
		s.started <- id
	}
}

// startEvents starts the workflow of one or more events and counts the start. It does nothing if the workflow is
// running.
func (s *Starter) startEvents(ctx context.Context, start hook.Start, by measure.StartedBy) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	options, input := workflows.DeliverStart(start)
	ctx, end := s.config.Tracer.Starting(ctx, &start)
	defer end()
	_, err := s.config.Temporal.ExecuteWorkflow(ctx, options, contract.NameDeliver, input)
	s.config.Metrics.Started(by, len(start.Others)+1, err)
	return err
}

// mark removes started events from the outbox, many at a time, until s.started is closed. If an event is not removed,
// it is started a second time, and its workflow found running. So once ctx has ended, no attempt follows one that
// fails.
func (s *Starter) mark(ctx context.Context) {
	ticker := time.NewTicker(markEvery)
	defer ticker.Stop()
	var batch []hook.EventID
	gaveUp := false
	flush := func() {
		defer func() {
			s.inProgress.remove(batch...)
			batch = batch[:0]
		}()
		if len(batch) == 0 || gaveUp {
			return
		}
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTimeout)
		defer cancel()
		if err := s.config.Outbox.Started(write, batch); err != nil {
			s.config.Logger.WarnContext(ctx, "started events not removed from the outbox; the sweeper will do it", slog.Any("error", err))
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
