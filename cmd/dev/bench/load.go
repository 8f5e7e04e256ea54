package bench

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"

	"grapnel/internal/wait"
)

// run is one load and what is received of it.
type run struct {
	spec     Spec
	client   *client
	track    *Tracker
	receiver *receiver
	begin    time.Time
	// typeOf says which type the n-th event has, endpointsOf which endpoints are to
	// get it.
	typeOf      func(n int) string
	endpointsOf func(n int) (first, count int)

	mu     sync.Mutex // guards errors
	errors map[string]int
}

// startRun makes a run with a receiver of its own.
func startRun(ctx context.Context, spec Spec) (*run, error) {
	r := &run{
		spec: spec, client: newClient(spec.Targets, spec.Key, max(spec.Publishers, 64)),
		track: NewTracker(), begin: time.Now(), errors: map[string]int{},
	}
	var err error
	r.receiver, err = startReceiver(ctx, r.track, r.begin)
	return r, err
}

func (r *run) close() {
	r.client.http.CloseIdleConnections()
	r.receiver.close()
}

// now is the time since the beginning.
func (r *run) now() time.Duration { return time.Since(r.begin) }

// closed has a number of publishers publish for a while, each its next event
// when the one before has been answered.
func (r *run) closed(ctx context.Context, publishers int, length time.Duration) {
	r.publishers(ctx, publishers, length, r.publishOne)
}

// batches is closed with many events in each request.
func (r *run) batches(ctx context.Context, publishers, size int, length time.Duration) {
	r.publishers(ctx, publishers, length, func(ctx context.Context) bool { return r.publishBatch(ctx, size) })
}

func (r *run) publishers(ctx context.Context, publishers int, length time.Duration, publish func(context.Context) bool) {
	end := r.now() + length
	var group sync.WaitGroup
	for range publishers {
		group.Go(func() {
			for ctx.Err() == nil && r.now() < end {
				if !publish(ctx) {
					_ = wait.For(ctx, 10*time.Millisecond) // not to be busy with failing; the loop looks at ctx
				}
			}
		})
	}
	group.Wait()
}

// open publishes at a fixed rate for a while, whether or not what was published
// before has been answered. An event that is late counts from when it was due.
func (r *run) open(ctx context.Context, rate float64, length time.Duration) {
	start := r.now()
	var group sync.WaitGroup
	defer group.Wait()
	for i := 0; Open(i, rate) < length; i++ {
		due := start + Open(i, rate)
		if left := due - r.now(); left > 0 && wait.For(ctx, left) != nil {
			return
		}
		group.Go(func() { r.publish(ctx, due) })
	}
}

func (r *run) publishOne(ctx context.Context) bool { return r.publish(ctx, r.now()) }

// publish publishes an event that was to be sent at the given time.
func (r *run) publish(ctx context.Context, intended time.Duration) bool {
	n, body := r.next(intended)
	status, _, err := r.client.send(ctx, http.MethodPost, "/v1/events", body)
	if err != nil || status != http.StatusAccepted {
		r.failed(outcome(status, err))
		return false
	}
	r.track.Accept(n, r.now())
	return true
}

// next makes an event.
func (r *run) next(intended time.Duration) (n int, body []byte) {
	n = r.track.Begin(intended, r.endpointsOf)
	return n, eventBody(r.typeOf(n), n, r.spec.Payload)
}

func (r *run) publishBatch(ctx context.Context, size int) bool {
	intended := r.now()
	numbers, bodies := make([]int, size), make([][]byte, size)
	for i := range size {
		numbers[i], bodies[i] = r.next(intended)
	}
	body := append([]byte(`{"events":[`), bytes.Join(bodies, []byte(","))...)
	status, answer, err := r.client.send(ctx, http.MethodPost, batchPath, append(body, `]}`...))
	if err != nil || status != http.StatusAccepted {
		r.failed(outcome(status, err))
		return false
	}
	at := r.now()
	ok, err := taken(answer, size)
	if err != nil {
		r.failed(err.Error())
		return false
	}
	for i, n := range numbers {
		if ok[i] {
			r.track.Accept(n, at)
		} else {
			r.failed("refused item")
		}
	}
	return true
}

func (r *run) failed(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors[what]++
}

// settle is how long duplicates are waited for, and the product's own records of
// what has arrived.
const settle = 500 * time.Millisecond

// drain waits until all that was accepted has arrived, or the deadline.
func (r *run) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.spec.Drain, errDeadline)
	defer cancel()
	for r.track.Outstanding() > 0 {
		if err := wait.For(ctx, 20*time.Millisecond); err != nil {
			if errors.Is(context.Cause(ctx), errDeadline) {
				return nil // the count of losses tells
			}
			return err
		}
	}
	return wait.For(context.WithoutCancel(ctx), settle)
}

var errDeadline = errors.New("not everything arrived in time")

// measure runs the load, waits until everything has arrived and returns the row.
// The window is the spec's: publishers that end a little later don't make a longer
// one.
func (r *run) measure(ctx context.Context, name string, load func()) (Result, error) {
	return r.measureUntil(ctx, name, func(begin time.Duration) time.Duration {
		load()
		return begin + r.spec.Window
	})
}

// measureUntil is measure for a load that knows when its window, which begins as it
// does, has ended.
func (r *run) measureUntil(ctx context.Context, name string, load func(begin time.Duration) (end time.Duration)) (Result, error) {
	before, err := cpuOf(r.spec.Processes)
	if err != nil {
		return Result{}, err
	}
	result := Result{Case: name, MemoryBefore: MemoryOf(r.spec.Processes)}
	begin := r.now()
	end := load(begin)
	if err := r.drain(ctx); err != nil {
		return Result{}, err
	}
	after, err := cpuOf(r.spec.Processes)
	if err != nil {
		return Result{}, err
	}
	result.MemoryAfter = MemoryOf(r.spec.Processes)
	r.track.Fill(&result, begin, end)
	result.DrainSeconds = max(0, (r.track.LastReceived(end) - end).Seconds())
	result.SustainedPerSecond = float64(result.Deliveries) / (result.Seconds + result.DrainSeconds)
	r.mu.Lock()
	result.Errors = maps.Clone(r.errors)
	r.mu.Unlock()
	result.CPU = make(map[string]float64, len(after))
	for process, used := range after { // there may be more of them than before
		result.CPU[process] = milliseconds(used-before[process]) / float64(max(result.Events, 1))
	}
	result.Memory = map[string]float64{}
	for _, p := range r.spec.Processes {
		if peak, err := p.Peak(); err == nil && !p.Children { // without /proc it is not measured
			result.Memory[p.Name] = peak
		}
	}
	return result, nil
}
