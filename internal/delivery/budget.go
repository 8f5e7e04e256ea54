package delivery

import (
	"context"
	"errors"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"grapnel/internal/hook"
)

// budget bounds the memory of deliveries, however large the backlog is that a worker finds.
// Before a run loads jobs it takes a share of the quota for jobs, and gives it back as the
// jobs end. A request takes its part of the quota for requests until its result is recorded,
// so that results can't pile up while the store is unavailable. If its payload is large, it
// also takes twice the payload's size from the quota for payloads until it has ended: for the
// payload and for the body that is made of it. A run that waits for jobs holds nothing. A
// request that waits for a payload or for its part holds no more than its job and, in this
// order, its payload. Requests in flight wait for nothing, so every request gets its turn.
type budget struct {
	jobs, payloads, requests *quota
	// late is for results that are still being recorded after their runs.
	late *quota
}

const (
	// defaultMemory is the memory that is divided where the process has no limit.
	defaultMemory = 1 << 30
	// The quotas, as divisors of the memory. A process without a limit has room for a fan-out
	// to 10,000 endpoints of which none answers.
	payloadsPart, requestsPart, jobsPart, latePart = 4, 4, 16, 32

	// jobBytes is the memory of a job whose payload was loaded with it, jobRest the memory that
	// it keeps until its run ends.
	jobBytes, jobRest = 4 << 10, 1 << 10
	// requestBytes is the memory of a request: the part of the response that is kept, its
	// headers, and buffers.
	requestBytes = hook.MaxResponseBody + 8<<10
	// envelope is the most that a body has besides the payload, in bytes.
	envelope = 2 << 10
	// payloadsAtOnce is the number of bytes of payloads that one statement loads.
	payloadsAtOnce = 4 << 20
	// webhookPart is the part of the quota for payloads that the requests of one webhook may
	// hold, as a divisor: a slow endpoint must leave most of it to others.
	webhookPart = 8
)

func newBudget(memory int64) *budget {
	if memory <= 0 {
		memory = defaultMemory
	}
	return &budget{
		jobs: newQuota(memory / jobsPart), payloads: newQuota(memory / payloadsPart),
		requests: newQuota(memory / requestsPart), late: newQuota(memory / latePart),
	}
}

// quota is a number of bytes that several users share. Users that wait for it get it in turn.
type quota struct {
	size          int64
	free          *semaphore.Weighted
	used, waiting atomic.Int64
}

func newQuota(size int64) *quota {
	size = max(size, requestBytes) // one request is always possible
	return &quota{size: size, free: semaphore.NewWeighted(size)}
}

// take waits for n bytes until ctx ends, and returns how many it got: for more than the whole
// quota it gets the whole quota.
func (q *quota) take(ctx context.Context, n int64) (int64, error) {
	n = min(n, q.size)
	q.waiting.Add(1)
	defer q.waiting.Add(-1)
	if err := q.free.Acquire(ctx, n); err != nil {
		return 0, err
	}
	q.used.Add(n)
	return n, nil
}

// try is take without waiting. It returns false if there is no room, or others wait for it.
func (q *quota) try(n int64) (int64, bool) {
	n = min(n, q.size)
	if !q.free.TryAcquire(n) {
		return 0, false
	}
	q.used.Add(n)
	return n, true
}

// give returns n bytes to the quota.
func (q *quota) give(n int64) {
	if n > 0 {
		q.used.Add(-n)
		q.free.Release(n)
	}
}

// MemoryUse is the use of one quota, in bytes.
type MemoryUse struct {
	Used, Size int64
	// Waiting is the number of runs and requests that wait for a part of it.
	Waiting int64
}

// MemoryUse returns the use of the quotas for jobs, payloads, requests, and late results.
func (e *Engine) MemoryUse() map[string]MemoryUse {
	b, use := e.budget, map[string]MemoryUse{}
	for name, q := range map[string]*quota{"jobs": b.jobs, "payloads": b.payloads, "requests": b.requests, "late": b.late} {
		use[name] = MemoryUse{Used: q.used.Load(), Size: q.size, Waiting: q.waiting.Load()}
	}
	return use
}

// hasRequest takes the part of a request, if there is room for it now.
func (b *budget) hasRequest() bool {
	_, ok := b.requests.try(requestBytes)
	return ok
}

// funds returns the bytes that a request takes for a payload of that size; 0 for a payload
// that was loaded with its job.
func funds(payload int) int64 {
	if payload == 0 {
		return 0
	}
	return 2*int64(payload) + envelope
}

// share is a run's part of the quota for jobs. One goroutine uses it.
type share struct {
	quota *quota
	held  int64
	jobs  int
	// local says that its run must not wait for any quota.
	local bool
}

// reserve takes the share of a run that may load so many jobs. It waits for as long as the
// longest request could still be made; then it returns ErrMemory, or ErrStopping if the
// worker stops.
func (e *Engine) reserve(ctx context.Context, w Window, jobs int) (*share, error) {
	if s, ok := e.tryReserve(jobs); ok {
		s.local = false
		return s, nil
	}
	before, cancel := context.WithDeadline(ctx, w.deadline.Add(-hook.MaxTimeout-recordMargin))
	defer cancel()
	defer w.whenStopping(cancel)()
	held, err := e.budget.jobs.take(before, int64(jobs)*jobBytes)
	switch {
	case err == nil:
		return &share{quota: e.budget.jobs, held: held, jobs: jobs}, nil
	case errors.Is(err, context.DeadlineExceeded):
		return nil, ErrMemory
	}
	return nil, ErrStopping
}

// tryReserve is reserve for a local activity, which does not wait.
func (e *Engine) tryReserve(jobs int) (*share, bool) {
	held, ok := e.budget.jobs.try(int64(jobs) * jobBytes)
	return &share{quota: e.budget.jobs, held: held, jobs: jobs, local: true}, ok
}

// keep gives back all but the memory of the loaded jobs, of which alive have not ended yet.
func (s *share) keep(loaded, alive int) {
	s.jobs = min(s.jobs, loaded)
	rest := min(s.held, int64(s.jobs)*jobRest+int64(min(alive, s.jobs))*(jobBytes-jobRest))
	s.quota.give(s.held - rest)
	s.held = rest
}

// join takes over another share of the same quota.
func (s *share) join(other *share) {
	s.held, s.jobs = s.held+other.held, s.jobs+other.jobs
	other.held, other.jobs = 0, 0
}

// release gives back the rest of the share. A second call does nothing.
func (s *share) release() { s.keep(0, 0) }
