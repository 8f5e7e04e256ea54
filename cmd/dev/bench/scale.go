package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// rowWideAgain is the second event of the case wide. Compared with the first, it shows which costs occur only once
// and what each event leaves behind.
const rowWideAgain = "wide again"

// each calls do for every number below n, several at a time, and stops after the first error.
func (r *run) each(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(r.spec.Publishers, n) {
		group.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// runWide publishes two events, one after the other, each to many webhooks. There is no warm-up, so that the first
// event shows the cost of a first event.
func runWide(ctx context.Context, spec Spec) ([]Result, error) {
	r, err := startRun(ctx, spec)
	if err != nil {
		return nil, err
	}
	defer r.close()
	eventType := r.eventType(0)
	r.typeOf = func(int) string { return eventType }
	r.endpointsOf = func(int) (int, int) { return 0, spec.Webhooks }
	if err := r.client.createType(ctx, "", eventType); err != nil {
		return nil, err
	}
	if err := r.each(ctx, spec.Webhooks, func(ctx context.Context, i int) error {
		return r.client.createWebhook(ctx, "", eventType, r.endpoint(i))
	}); err != nil {
		return nil, err
	}
	var rows []Result
	for _, name := range []string{CaseWide, rowWideAgain} {
		row, err := r.wideEvent(ctx, name)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// wideEvent measures one event. Its window ends with the 202, so the drain is the time from the 202 to the last
// delivery. A rate within that window would be meaningless: both rates are over the time to the last delivery.
func (r *run) wideEvent(ctx context.Context, name string) (Result, error) {
	result, err := r.measureUntil(ctx, name, func(begin time.Duration) time.Duration {
		r.publish(ctx, begin)
		return r.now()
	})
	if err != nil {
		return Result{}, err
	}
	result.AcceptedPerSecond = float64(result.Events) / (result.Seconds + result.DrainSeconds)
	result.DeliveredPerSecond = result.SustainedPerSecond
	if result.Deliveries == 0 {
		result.Note = "nothing was delivered"
		return result, nil
	}
	l := &result.Receive
	result.Note = fmt.Sprintf("202 after %s ms; of %d deliveries the first came after %s ms, the median after %s ms, the last after %s ms, %.0f/s; %.2f ms CPU per delivery",
		short(result.Accept.Max), result.Deliveries, short(l.Curve[0]), short(l.P50), short(l.Max), result.SustainedPerSecond, sum(result.CPU)/float64(result.Deliveries))
	return result, nil
}

// runMany publishes one event to each of many webhooks. Each webhook has an event type of its own, so that cached
// facts about one event type do not help with the next. The warm-up publishes to the first webhook.
func runMany(ctx context.Context, spec Spec) (Result, error) {
	r, err := startRun(ctx, spec)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	if err := r.each(ctx, spec.Webhooks, func(ctx context.Context, i int) error {
		return r.client.subscribe(ctx, r.eventType(i), r.endpoint(i))
	}); err != nil {
		return Result{}, err
	}
	r.typeOf = func(int) string { return r.eventType(0) }
	r.endpointsOf = func(int) (int, int) { return 0, 1 }
	if err := r.warmUp(ctx, func(d time.Duration) { r.closed(ctx, spec.Publishers, d) }); err != nil {
		return Result{}, err
	}
	warmUps := r.track.Events()
	r.typeOf = func(n int) string { return r.eventType(n - warmUps) }
	r.endpointsOf = func(n int) (int, int) { return n - warmUps, 1 }
	result, err := r.measureUntil(ctx, spec.Case, func(time.Duration) time.Duration {
		// A failed publish is counted and does not stop the others. If the context ends, drain reports it.
		_ = r.each(ctx, spec.Webhooks, func(ctx context.Context, _ int) error {
			r.publishOne(ctx)
			return nil
		})
		return r.now()
	})
	result.Note = fmt.Sprintf("%d webhooks, each with an event type of its own, one event each", spec.Webhooks)
	return result, err
}

// runSoak publishes at a steady rate for a long time, and reports each minute.
func runSoak(ctx context.Context, spec Spec) (Result, error) {
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	load := func(d time.Duration) { r.open(ctx, spec.Rate, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	var begin time.Duration
	result, err := r.measureUntil(ctx, spec.Case, func(at time.Duration) time.Duration {
		begin = at
		load(spec.Window)
		return begin + spec.Window
	})
	result.Soak = &Soak{Rate: spec.Rate, Minutes: r.track.Minutes(begin, begin+spec.Window)}
	return result, err
}
