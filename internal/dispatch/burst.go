package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/hook"
	"grapnel/workflows"
)

// mostDeliveries is how many deliveries a burst's workflow has at most: one
// activity does them. An event with more has a workflow to itself.
const mostDeliveries = workflows.DeliveriesPerActivity

// mostBytes is how many bytes of payloads a burst's workflow has at most: one that waits
// for memory, or is sent again after a crash, is not to hold up much. An event with more
// has a workflow to itself.
const mostBytes = 4 << 20

// lingerFor is how long an event waits at most for starts that are under way, to
// share a workflow with those that come meanwhile. Where none is under way, it does
// not wait: at ordinary rates an event's workflow is its own (design 3). The more
// there are, the more share one, and the less each costs. Where very many come, it
// waits as long again: then what a workflow costs is what limits how fast they all
// are delivered.
const lingerFor = 100 * time.Millisecond

// busy is how many events make it worth lingering to the end although no start is
// under way: there is more to come.
const busy = 4

// flood is how many events within lingerFor are very many.
const flood = 100

// gather takes what is waiting, in bursts of one tenant each.
func (s *Starter) gather(ctx context.Context, first hook.Start) [][]hook.Start {
	bursts := [][]hook.Start{{first}}
	deliveries, sizes := []int{first.Deliveries}, []int{first.Bytes}
	add := func(start hook.Start) {
		for i, burst := range bursts {
			if burst[0].TenantID == start.TenantID && deliveries[i]+start.Deliveries <= mostDeliveries && sizes[i]+start.Bytes <= mostBytes {
				bursts[i] = append(burst, start)
				deliveries[i] += start.Deliveries
				sizes[i] += start.Bytes
				return
			}
		}
		bursts, deliveries, sizes = append(bursts, []hook.Start{start}), append(deliveries, start.Deliveries), append(sizes, start.Bytes)
	}
	var linger <-chan time.Time
	if len(s.slots) > 0 && s.config.MaxEvents > 1 {
		linger = time.After(lingerFor)
	}
	again := true
	for taken := 1; taken < s.config.MaxEvents; {
		select {
		case start := <-s.queue:
			add(start)
			taken++
			continue
		default:
		}
		if linger == nil {
			return bursts
		}
		select {
		case start := <-s.queue:
			add(start)
			taken++
		case <-s.ended:
			if len(s.slots) == 0 && taken < busy {
				linger = nil
			}
		case <-linger:
			linger = nil
			if again && taken >= flood {
				again, linger = false, time.After(lingerFor)
			}
		case <-ctx.Done():
			linger = nil
		}
	}
	return bursts
}

// beginBurst starts the workflow of one event, or one for several.
func (s *Starter) beginBurst(ctx context.Context, burst []hook.Start) {
	if len(burst) == 1 {
		s.begin(ctx, burst[0])
		return
	}
	s.beginShared(ctx, burst)
}

// beginShared starts one workflow for several events. The store is told first, so
// that whoever starts it again, after a crash, starts the same.
func (s *Starter) beginShared(ctx context.Context, burst []hook.Start) {
	ids := make([]hook.EventID, 0, len(burst))
	for i := range burst {
		ids = append(ids, burst[i].EventID)
	}
	workflow := workflows.BurstID(ids[0])
	given, err := s.config.Outbox.ShareWorkflow(ctx, workflow, ids)
	if err != nil {
		s.config.Logger.DebugContext(ctx, "burst deferred", slog.Int("events", len(ids)), slog.Any("error", err))
		s.mine.remove(ids...)
		return
	}
	for _, id := range ids {
		if !slices.Contains(given, id) {
			s.mine.remove(id)
		}
	}
	burst = slices.DeleteFunc(burst, func(start hook.Start) bool { return !slices.Contains(given, start.EventID) })
	if len(burst) > 0 {
		s.begin(ctx, hook.Share(workflow, burst))
	}
}
