package dispatch

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/contract"
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
// not wait: at ordinary rates an event's workflow is its own. The more
// there are, the more share one, and the less each costs. Where very many come, it
// waits as long again: then what a workflow costs is what limits how fast they all
// are delivered.
const lingerFor = 100 * time.Millisecond

// busy is how many events make it worth lingering to the end although no start is
// under way: there is more to come.
const busy = 4

// flood is how many events within lingerFor are very many.
const flood = 100

// packing puts events into workflows: those of one tenant together, as many as may share
// one. Starters and sweepers pack alike.
type packing struct {
	// most is how many events share a workflow at most.
	most   int
	bursts []*burst
	// open are those of each tenant that have room.
	open map[hook.TenantID][]*burst
}

// burst are events that share a workflow; one has its own.
type burst struct {
	starts     []hook.Start
	deliveries int
	bytes      int
}

func (b *burst) fits(start *hook.Start) bool {
	return b.deliveries+start.Deliveries <= mostDeliveries && b.bytes+start.Bytes <= mostBytes
}

func (b *burst) add(start *hook.Start) {
	b.starts = append(b.starts, *start)
	b.deliveries += start.Deliveries
	b.bytes += start.Bytes
}

func (b *burst) full(most int) bool {
	return len(b.starts) >= most || b.deliveries >= mostDeliveries || b.bytes >= mostBytes
}

// add puts an event where it fits.
func (p *packing) add(start *hook.Start) {
	open := p.open[start.TenantID]
	at := slices.IndexFunc(open, func(b *burst) bool { return b.fits(start) })
	if at < 0 {
		b := &burst{}
		p.bursts, open, at = append(p.bursts, b), append(open, b), len(open)
	}
	open[at].add(start)
	if open[at].full(p.most) {
		open = slices.Delete(open, at, at+1)
	}
	if p.open == nil {
		p.open = map[hook.TenantID][]*burst{}
	}
	p.open[start.TenantID] = open
}

// gather takes what is waiting, in bursts of one tenant each.
func (s *Starter) gather(ctx context.Context, first hook.Start) []*burst {
	p := packing{most: s.config.MaxEvents}
	p.add(&first)
	var linger <-chan time.Time
	if len(s.slots) > 0 && s.config.MaxEvents > 1 {
		linger = time.After(lingerFor)
	}
	again := true
	for taken := 1; taken < s.config.MaxEvents; {
		select {
		case start := <-s.queue:
			p.add(&start)
			taken++
			continue
		default:
		}
		if linger == nil {
			return p.bursts
		}
		select {
		case start := <-s.queue:
			p.add(&start)
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
	return p.bursts
}

// beginBurst starts the workflow of one event, or one for several.
func (s *Starter) beginBurst(ctx context.Context, b *burst) {
	start, ok, err := s.name(ctx, b, contract.BurstID(b.starts[0].EventID))
	given := start.EventIDs()
	for i := range b.starts {
		if id := b.starts[i].EventID; !ok || !slices.Contains(given, id) {
			s.mine.remove(id)
		}
	}
	if err != nil {
		s.config.Logger.DebugContext(ctx, "start deferred", slog.Int("events", len(b.starts)), slog.Any("error", err))
	}
	if ok {
		s.begin(ctx, start)
	}
}

// name tells the store which workflow is about to be started for the events, so that
// whoever starts it again, after a crash, or because the start takes long, starts the same.
// It is the given one if there are several, and an event's own for one. False is that
// somebody else has named others for all of them; those of some are left out.
func (s *Starter) name(ctx context.Context, b *burst, workflow string) (start hook.Start, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ids := make([]hook.EventID, 0, len(b.starts))
	for i := range b.starts {
		ids = append(ids, b.starts[i].EventID)
	}
	if len(ids) == 1 {
		workflow = "" // its own
	}
	given, err := s.config.Outbox.ShareWorkflow(ctx, workflow, ids)
	if err != nil || len(given) == 0 {
		return hook.Start{}, false, err
	}
	if workflow == "" {
		return b.starts[0], true, nil
	}
	isGiven := make(map[hook.EventID]bool, len(given))
	for _, id := range given {
		isGiven[id] = true
	}
	starts := slices.DeleteFunc(slices.Clone(b.starts), func(start hook.Start) bool { return !isGiven[start.EventID] })
	return hook.Share(workflow, starts), true, nil
}
