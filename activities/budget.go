package activities

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"
	"golang.org/x/sync/semaphore"

	"grapnel/internal/hook"
)

// What deliveries hold in memory is bounded, however large the backlog is that a worker
// finds. Before a run loads its jobs it takes its part of the budget for jobs, and gives
// it back as they end. A request takes its part of the budget for requests until its
// result is recorded, so that results can't pile up while the store is away; if its
// payload is large, it takes twice that from the budget for payloads until it has ended:
// the payload and the body that is made of it. Whoever waits for jobs holds nothing, and
// whoever waits for a payload or a request holds no more than its jobs and, in this order,
// payload: requests under way wait for nothing, so that all of them come to their turn.
type budget struct {
	jobs, payloads, requests *pool
	// late are results that are still being recorded when their runs are over.
	late *pool
}

const (
	// defaultMemory is what budgets are parts of where the process has no limit.
	defaultMemory = 1 << 30
	// The parts. A process without a limit has room for a fan-out to 10,000 endpoints of
	// which none answers.
	payloadsPart, requestsPart, jobsPart, latePart = 4, 4, 16, 32

	// jobBytes is what a job takes with a payload that came along, and jobRest what stays
	// of it until its run is over.
	jobBytes, jobRest = 4 << 10, 1 << 10
	// requestBytes is what a request takes: the part of the answer that is kept, its
	// headers, and buffers.
	requestBytes = hook.MaxResponseBody + 8<<10
	// envelope is what a body has besides the payload, at most.
	envelope = 2 << 10
	// payloadsAtOnce is how many bytes of payloads one statement loads.
	payloadsAtOnce = 4 << 20
	// webhookPart is which part of the payloads' budget one webhook's requests may hold: an
	// endpoint that is slow must leave the most of it to others.
	webhookPart = 8
)

func newBudget(memory int64) *budget {
	if memory <= 0 {
		memory = defaultMemory
	}
	return &budget{
		jobs: newPool(memory / jobsPart), payloads: newPool(memory / payloadsPart),
		requests: newPool(memory / requestsPart), late: newPool(memory / latePart),
	}
}

// pool is one budget, in bytes. Who waits for it is served in turn.
type pool struct {
	size          int64
	free          *semaphore.Weighted
	used, waiting atomic.Int64
}

func newPool(size int64) *pool {
	size = max(size, requestBytes) // one is always possible
	return &pool{size: size, free: semaphore.NewWeighted(size)}
}

// take waits for n bytes until ctx ends, and returns how many it got: what is larger than
// the whole gets the whole.
func (p *pool) take(ctx context.Context, n int64) (int64, error) {
	n = min(n, p.size)
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	if err := p.free.Acquire(ctx, n); err != nil {
		return 0, err
	}
	p.used.Add(n)
	return n, nil
}

// try is take without waiting; false where there is no room, or others wait for it.
func (p *pool) try(n int64) (int64, bool) {
	n = min(n, p.size)
	if !p.free.TryAcquire(n) {
		return 0, false
	}
	p.used.Add(n)
	return n, true
}

func (p *pool) give(n int64) {
	if n > 0 {
		p.used.Add(-n)
		p.free.Release(n)
	}
}

// MemoryUse is the use of one of the budgets, in bytes.
type MemoryUse struct {
	Used, Size int64
	// Waiting is how many wait for a part of it.
	Waiting int64
}

// MemoryUse is how much deliveries hold in memory: of jobs, payloads and requests, and of
// results that are recorded late.
func (a *Activities) MemoryUse() map[string]MemoryUse {
	use := map[string]MemoryUse{}
	for name, p := range map[string]*pool{"jobs": a.budget.jobs, "payloads": a.budget.payloads, "requests": a.budget.requests, "late": a.budget.late} {
		use[name] = MemoryUse{Used: p.used.Load(), Size: p.size, Waiting: p.waiting.Load()}
	}
	return use
}

// hasRequest takes the part of a request, if there is room for it now.
func (b *budget) hasRequest() bool {
	_, ok := b.requests.try(requestBytes)
	return ok
}

// funds is what a request with a payload that has to be loaded takes for it.
func funds(payload int) int64 {
	if payload == 0 {
		return 0
	}
	return 2*int64(payload) + envelope
}

// errMemory says that there was no room in memory in time. Nothing was sent.
var errMemory = errors.New("no room in memory")

// share is a run's part of the budget for jobs. It is one goroutine's.
type share struct {
	pool *pool
	held int64
	jobs int
	// local says that its run must not wait for any budget.
	local bool
}

// loading takes the share of a run that may load so many jobs. It waits for as long as
// the longest request could still be made; its error asks for the next run.
func (a *Activities) loading(ctx context.Context, jobs int) (*share, error) {
	if s, ok := a.loadingFirst(jobs); ok {
		s.local = false
		return s, nil
	}
	before, cancel := context.WithDeadline(ctx, activity.GetInfo(ctx).Deadline.Add(-hook.MaxTimeout-recordMargin))
	defer cancel()
	defer a.stops(ctx).whenStopping(cancel)()
	held, err := a.budget.jobs.take(before, int64(jobs)*jobBytes)
	switch {
	case err == nil:
		return &share{pool: a.budget.jobs, held: held, jobs: jobs}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, a.memoryLater(jobs)
	}
	return nil, a.ours(ctx, "load deliveries", worker.ErrWorkerShutdown)
}

// loadingFirst is loading for a local activity, which does not wait.
func (a *Activities) loadingFirst(jobs int) (*share, bool) {
	held, ok := a.budget.jobs.try(int64(jobs) * jobBytes)
	return &share{pool: a.budget.jobs, held: held, jobs: jobs, local: true}, ok
}

// memoryLater asks for the next run of what has waited in vain.
func (a *Activities) memoryLater(deliveries int) error {
	return comeBack(a.memoryPause(), fmt.Sprintf("%d deliveries waiting for memory of the worker, which others use", deliveries))
}

func (a *Activities) memoryPause() time.Duration { return oursRetry + a.jitter(oursJitter) }

// keep gives back what is over so many jobs that were loaded, of which some are not over yet.
func (s *share) keep(loaded, alive int) {
	s.jobs = min(s.jobs, loaded)
	rest := min(s.held, int64(s.jobs)*jobRest+int64(min(alive, s.jobs))*(jobBytes-jobRest))
	s.pool.give(s.held - rest)
	s.held = rest
}

// join takes over another share of the same pool.
func (s *share) join(other *share) {
	s.held, s.jobs = s.held+other.held, s.jobs+other.jobs
	other.held, other.jobs = 0, 0
}

// release gives back what is left; again it does nothing.
func (s *share) release() { s.keep(0, 0) }

// load loads what the next step may send, and no more: one delivery for a probe.
func (d *drain) load(ctx context.Context) (b hook.DeferredPage, err error) {
	limit := mostBatch
	switch {
	case !d.state.ProbeAt.IsZero():
		limit = 1
	case d.state.Batch > 0:
		limit = min(2*d.state.Batch, mostBatch)
	}
	if d.share, err = d.loading(ctx, limit); err != nil {
		_, _ = d.note(ctx, oursRetry+oursJitter, time.Time{})
		return b, err
	}
	if b, err = d.parking.Deferred(ctx, d.webhook, limit); err != nil {
		d.share.release()
		return b, d.again(ctx, err)
	}
	d.share.keep(len(b.Jobs), len(b.Jobs))
	return b, nil
}

// whenStopping runs f when what an activity belongs to stops, until the function that it
// returns is called.
func (s stops) whenStopping(f func()) (end func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-s.worker:
			f()
		case <-s.run:
			f()
		case <-done:
		}
	}()
	return func() { close(done) }
}
