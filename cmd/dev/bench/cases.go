package bench

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"grapnel/internal/wait"
)

// Names of rows that differ from the names of their cases.
const (
	rowFloorIdle = "floor idle"
	rowQuiet     = "isolation quiet"
)

const (
	fanoutEndpoints  = 10
	healthyEndpoints = 20
	batchSize        = 100
	burstPublishers  = 256
	burstLength      = 5 * time.Second
	idleRate         = 20
	outageRate       = 50
)

// Run runs the case of the spec and returns its rows.
func Run(ctx context.Context, spec Spec) ([]Result, error) {
	switch spec.Case {
	case CaseFloor:
		return runFloor(ctx, spec)
	case CaseSaturation, CaseStored:
		return oneRow(closedLoop(ctx, spec, 1))
	case CaseFanout:
		return oneRow(closedLoop(ctx, spec, fanoutEndpoints))
	case CaseBatch:
		return oneRow(runBatch(ctx, spec))
	case CaseBurst:
		return oneRow(runBurst(ctx, spec))
	case CaseIdle:
		return oneRow(runIdle(ctx, spec, spec.Case))
	case CaseIsolation:
		return runIsolation(ctx, spec)
	case CaseOutage:
		return oneRow(runOutage(ctx, spec))
	case CaseWide:
		return runWide(ctx, spec)
	case CaseMany:
		return oneRow(runMany(ctx, spec))
	case CaseCurve:
		return runCurve(ctx, spec)
	case CaseTenants:
		return runTenants(ctx, spec)
	case CaseDeletion:
		return runDeletion(ctx, spec)
	case CaseAway:
		return oneRow(runAway(ctx, spec))
	case CaseSoak:
		return oneRow(runSoak(ctx, spec))
	}
	return nil, CheckCases([]string{spec.Case})
}

func oneRow(r Result, err error) ([]Result, error) { return []Result{r}, err }

// startSimple returns a run with one event type, to which all endpoints subscribe.
func startSimple(ctx context.Context, spec Spec, endpoints int) (*run, error) {
	r, err := startRun(ctx, spec)
	if err != nil {
		return nil, err
	}
	eventType := r.eventType(0)
	r.typeOf = func(int) string { return eventType }
	r.endpointsOf = func(int) (int, int) { return 0, endpoints }
	var urls []string
	for i := range endpoints {
		urls = append(urls, r.endpoint(i))
	}
	if spec.Case == CaseFloor {
		_, _, err = r.client.send(ctx, http.MethodPut, floorReceiver, []byte(urls[0]))
	} else {
		err = r.client.subscribe(ctx, eventType, urls...)
	}
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *run) endpoint(i int) string { return r.receiver.URL + endpointPath + strconv.Itoa(i) }

// eventType returns a name that no other run uses.
func (r *run) eventType(i int) string {
	return fmt.Sprintf("bench.%d.e%d", r.begin.UnixNano(), i)
}

// warmUp runs a load for the spec's warm-up and waits until everything has arrived.
func (r *run) warmUp(ctx context.Context, load func(time.Duration)) error {
	load(r.spec.WarmUp)
	return r.drain(ctx)
}

func closedLoop(ctx context.Context, spec Spec, endpoints int) (Result, error) {
	r, err := start(ctx, spec, endpoints)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	load := func(d time.Duration) { r.closed(ctx, spec.Publishers, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	return r.noted(r.measure(ctx, spec.Case, func() { load(spec.Window) }))
}

// runFloor measures the floor under both kinds of load.
func runFloor(ctx context.Context, spec Spec) ([]Result, error) {
	full, err := closedLoop(ctx, spec, 1)
	if err != nil {
		return nil, err
	}
	idle, err := runIdle(ctx, spec, rowFloorIdle)
	return []Result{full, idle}, err
}

func runIdle(ctx context.Context, spec Spec, name string) (Result, error) {
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	load := func(d time.Duration) { r.open(ctx, idleRate, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	without, err := r.unloaded(ctx)
	if err != nil {
		return Result{}, err
	}
	result, err := r.measure(ctx, name, func() { load(spec.Window) })
	result.Note = without
	return result, err
}

// unloaded measures the processor time that the processes use when nothing is published: at a low rate it is part of
// the measured cost per event.
func (r *run) unloaded(ctx context.Context) (note string, err error) {
	length := min(r.spec.Window, 5*time.Second)
	before, err := cpuOf(r.spec.Processes)
	if err != nil {
		return "", err
	}
	if err := wait.For(ctx, length); err != nil {
		return "", err
	}
	after, err := cpuOf(r.spec.Processes)
	if err != nil {
		return "", err
	}
	var used time.Duration
	for name := range after {
		used += after[name] - before[name]
	}
	return fmt.Sprintf("without load %.1f %% of a core", 100*used.Seconds()/length.Seconds()), nil
}

func runBatch(ctx context.Context, spec Spec) (Result, error) {
	r, err := start(ctx, spec, 1)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	if built, err := r.client.hasBatch(ctx); err != nil || !built {
		return Result{Case: spec.Case, Note: "not built"}, err
	}
	// Few publishers suffice, because each request holds many events.
	load := func(d time.Duration) { r.batches(ctx, max(1, spec.Publishers/8), batchSize, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	return r.noted(r.measure(ctx, spec.Case, func() { load(spec.Window) }))
}

func runBurst(ctx context.Context, spec Spec) (Result, error) {
	spec.Window = min(burstLength, spec.Window)
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	// The warm-up has an ordinary rate, so that the measured burst is the first one.
	if err := r.warmUp(ctx, func(d time.Duration) { r.open(ctx, idleRate, d) }); err != nil {
		return Result{}, err
	}
	result, err := r.measure(ctx, spec.Case, func() { r.closed(ctx, burstPublishers, spec.Window) })
	whole := min(int(spec.Window/time.Second), len(result.Accepted))
	result.Note = fmt.Sprintf("202s by second %v; all delivered %.1f s after the burst", result.Accepted[:whole], result.DrainSeconds)
	return result, err
}

// runIsolation measures healthy endpoints alone, and beside one that hangs and one that refuses connections. Each bad
// endpoint gets as many events as a healthy one.
func runIsolation(ctx context.Context, spec Spec) ([]Result, error) {
	quiet, err := isolated(ctx, spec, rowQuiet, nil)
	if err != nil {
		return nil, err
	}
	refused, err := refusingURL(ctx)
	if err != nil {
		return nil, err
	}
	beside, err := isolated(ctx, spec, spec.Case, []string{hangPath, refused})
	if err != nil {
		return nil, err
	}
	if quiet.Receive.P99 > 0 {
		beside.Ratio = beside.Receive.P99 / quiet.Receive.P99
	}
	beside.Note = fmt.Sprintf("%.0f/s over %d healthy endpoints; their p99 is %.2f times the quiet one", spec.Rate, healthyEndpoints, beside.Ratio)
	return []Result{quiet, beside}, nil
}

// refusingURL returns an address on which nothing listens.
func refusingURL(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return "http://" + l.Addr().String() + "/", l.Close()
}

// isolated publishes to the healthy and the bad endpoints in turn. Each has an event type of its own, so that every
// event goes to exactly one endpoint.
func isolated(ctx context.Context, spec Spec, name string, bad []string) (Result, error) {
	r, err := startRun(ctx, spec)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	var urls []string
	for i := range healthyEndpoints {
		urls = append(urls, r.endpoint(i))
	}
	for _, url := range bad {
		if url == hangPath {
			url = r.receiver.URL + hangPath
		}
		urls = append(urls, url)
	}
	all := len(urls)
	types := make([]string, all)
	for i, url := range urls {
		types[i] = r.eventType(i)
		if err := r.client.subscribe(ctx, types[i], url); err != nil {
			return Result{}, err
		}
	}
	r.typeOf = func(n int) string { return types[n%all] }
	r.endpointsOf = func(n int) (first, count int) {
		if n%all >= healthyEndpoints {
			return 0, 0 // accepted, but not expected to arrive
		}
		return n % all, 1
	}
	rate := spec.Rate * float64(all) / healthyEndpoints // the rate per healthy endpoint stays the same
	load := func(d time.Duration) { r.open(ctx, rate, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	return r.measure(ctx, name, func() { load(spec.Window) })
}

// runOutage stops the receiver in the middle of a steady load.
func runOutage(ctx context.Context, spec Spec) (Result, error) {
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	load := func(d time.Duration) { r.open(ctx, outageRate, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	begin := r.now()
	failed := make(chan error, 1)
	back := begin + spec.Window/4 + spec.OutageLength()
	result, err := r.measure(ctx, spec.Case, func() {
		go func() { failed <- r.outage(ctx, begin+spec.Window/4, back) }()
		load(spec.Window)
		if err := <-failed; err != nil {
			r.failed(err.Error())
		}
	})
	result.Note = fmt.Sprintf("receiver down for %.1f s; all that was published before its return had arrived %.1f s after it",
		spec.OutageLength().Seconds(), max(0, (r.track.LastReceived(back)-back).Seconds()))
	return result, err
}

// outage stops the receiver between two times.
func (r *run) outage(ctx context.Context, from, until time.Duration) error {
	if err := wait.For(ctx, from-r.now()); err != nil {
		return err
	}
	if err := r.receiver.down(ctx); err != nil {
		return err
	}
	if err := wait.For(ctx, until-r.now()); err != nil {
		return err
	}
	return r.receiver.up(ctx)
}
