package bench

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"grapnel/internal/wait"
)

// run is one load and the requests received for it.
type run struct {
	spec     Spec
	client   *client
	track    *Tracker
	receiver *receiver
	begin    time.Time
	// typeOf returns the event type of the n-th event, and endpointsOf the endpoints that are to receive it.
	typeOf      func(n int) string
	endpointsOf func(n int) (first, count int)
	// tenantOf returns the tenant for which the n-th event is published; "" is the key's own.
	tenantOf func(n int) string

	mu     sync.Mutex // guards errors
	errors map[string]int
}

// startRun returns a run with a receiver of its own.
func startRun(ctx context.Context, spec Spec) (*run, error) {
	r := &run{
		spec: spec, client: newClient(spec.Targets, spec.Key, max(spec.Publishers, 64)),
		track: NewTracker(), begin: time.Now(), errors: map[string]int{}, tenantOf: func(int) string { return "" },
	}
	var err error
	r.receiver, err = startReceiver(ctx, r.track, r.begin)
	return r, err
}

func (r *run) close() {
	r.client.http.CloseIdleConnections()
	r.receiver.close()
}

// now returns the time since the beginning.
func (r *run) now() time.Duration { return time.Since(r.begin) }

// closed runs a number of publishers for a while. Each publishes its next event after the previous one is answered.
func (r *run) closed(ctx context.Context, publishers int, length time.Duration) {
	r.publishers(ctx, publishers, length, r.publishOne)
}

// batches is closed, but with many events in each request.
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
					_ = wait.For(ctx, 10*time.Millisecond) // avoids a busy loop of failures; the loop checks ctx
				}
			}
		})
	}
	group.Wait()
}

// open publishes at a fixed rate for a while, without waiting for responses. The latency of a late event counts from
// its due time.
func (r *run) open(ctx context.Context, rate float64, length time.Duration) {
	r.openWhile(ctx, rate, func(passed time.Duration) bool { return passed < length })
}

// openWhile is open for as long as more returns true. more is called before each event, with the time from the
// beginning until the event is due.
func (r *run) openWhile(ctx context.Context, rate float64, more func(passed time.Duration) bool) {
	start := r.now()
	var group sync.WaitGroup
	defer group.Wait()
	for i := 0; more(Open(i, rate)); i++ {
		due := start + Open(i, rate)
		if left := due - r.now(); left > 0 && wait.For(ctx, left) != nil {
			return
		}
		group.Go(func() { r.publish(ctx, due) })
	}
}

// openBeside publishes at a fixed rate until do returns, and returns its error.
func (r *run) openBeside(ctx context.Context, rate float64, do func() error) error {
	var over atomic.Bool
	done := make(chan error, 1)
	go func() {
		done <- do()
		over.Store(true)
	}()
	r.openWhile(ctx, rate, func(time.Duration) bool { return !over.Load() })
	return <-done
}

func (r *run) publishOne(ctx context.Context) bool { return r.publish(ctx, r.now()) }

// publish publishes an event that was due at the given time.
func (r *run) publish(ctx context.Context, intended time.Duration) bool {
	n := r.next(intended)
	status, _, err := r.client.sendFor(ctx, r.tenantOf(n), http.MethodPost, "/v1/events", eventBody(r.typeOf(n), "", n, r.spec.Payload))
	if err != nil || status != http.StatusAccepted {
		r.failed(outcome(status, err))
		return false
	}
	r.track.Accept(n, r.now())
	return true
}

// next numbers an event.
func (r *run) next(intended time.Duration) (n int) { return r.track.Begin(intended, r.endpointsOf) }

func (r *run) publishBatch(ctx context.Context, size int) bool {
	intended := r.now()
	numbers, bodies := make([]int, size), make([][]byte, size)
	for i := range size {
		n := r.next(intended)
		numbers[i], bodies[i] = n, eventBody(r.typeOf(n), r.tenantOf(n), n, r.spec.Payload)
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

// forgetErrors makes the next row count the errors from now on.
func (r *run) forgetErrors() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.errors)
}

// settle is how long the run waits for duplicates, and for the product to record the last deliveries.
const settle = 500 * time.Millisecond

// drain waits until every accepted event has arrived, or until the deadline.
func (r *run) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, r.spec.Drain, errDeadline)
	defer cancel()
	for r.track.Outstanding() > 0 {
		if err := wait.For(ctx, 20*time.Millisecond); err != nil {
			if errors.Is(context.Cause(ctx), errDeadline) {
				return nil // the loss shows in the counts
			}
			return err
		}
	}
	return wait.For(context.WithoutCancel(ctx), settle)
}

var errDeadline = errors.New("not everything arrived in time")

// measure runs the load, waits until everything has arrived and returns the row. The window has the length that the
// spec says: publishers that end a little later do not extend it.
func (r *run) measure(ctx context.Context, name string, load func()) (Result, error) {
	return r.measureUntil(ctx, name, func(begin time.Duration) time.Duration {
		load()
		return begin + r.spec.Window
	})
}

// measureUntil is measure for a load that returns the end of its own window. The window begins with the load.
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
	for process, used := range after { // there may be more processes than before
		result.CPU[process] = milliseconds(used-before[process]) / float64(max(result.Events, 1))
	}
	result.Memory = map[string]float64{}
	for _, p := range r.spec.Processes {
		if peak, err := p.Peak(); err == nil && !p.Children { // without /proc the peak is not measured
			result.Memory[p.Name] = peak
		}
	}
	return result, nil
}
