package dispatch

import (
	"context"
	"log/slog"
	"slices"

	"grapnel/internal/hook"
	"grapnel/workflows"
)

// mostDeliveries is how many deliveries a burst's workflow has at most: one
// activity does them. An event with more has a workflow to itself.
const mostDeliveries = workflows.DeliveriesPerActivity

// beginBurst starts what is waiting: at ordinary rates that is one event, and its
// workflow is its own. Events that had to wait, because every worker was busy,
// share one (design 3): so an orchestrated event costs less, the more there are.
func (s *Starter) beginBurst(ctx context.Context, first hook.Start) {
	for _, burst := range s.gather(first) {
		if len(burst) == 1 {
			s.begin(ctx, burst[0])
			continue
		}
		s.beginShared(ctx, burst)
	}
}

// gather takes what is waiting, in bursts of one tenant each.
func (s *Starter) gather(first hook.Start) [][]hook.Start {
	bursts := [][]hook.Start{{first}}
	deliveries := []int{first.Deliveries}
	add := func(start hook.Start) {
		for i, burst := range bursts {
			if burst[0].TenantID == start.TenantID && deliveries[i]+start.Deliveries <= mostDeliveries {
				bursts[i] = append(burst, start)
				deliveries[i] += start.Deliveries
				return
			}
		}
		bursts, deliveries = append(bursts, []hook.Start{start}), append(deliveries, start.Deliveries)
	}
	for range s.config.MaxEvents - 1 {
		select {
		case start := <-s.queue:
			add(start)
		default:
			return bursts
		}
	}
	return bursts
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
		return
	}
	burst = slices.DeleteFunc(burst, func(start hook.Start) bool { return !slices.Contains(given, start.EventID) })
	if len(burst) > 0 {
		s.begin(ctx, hook.Share(workflow, burst))
	}
}
