package dispatch

import (
	"context"
	"crypto/rand"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// maxBurstDeliveries bounds the deliveries of a burst: one activity sends them. An event with more deliveries has a
// workflow to itself.
const maxBurstDeliveries = workflows.DeliveriesPerActivity

// maxBurstBytes bounds the payloads of a burst. A workflow that waits for memory, or is sent again after a crash, must
// not hold up much. An event with more bytes has a workflow to itself.
const maxBurstBytes = 4 << 20

// lingerFor is how long an event waits, while starts are under way, for other events that can share its workflow. While
// no start is under way it does not wait: at ordinary rates an event's workflow is its own. The more events there are,
// the more of them share a workflow, and the less each costs. If very many events come, it waits as long again: then
// the delivery of all of them is limited by what a workflow costs.
const lingerFor = 100 * time.Millisecond

// busy is the number of events from which lingering continues although no start is under way, because more events will
// come.
const busy = 4

// flood is the number of events within lingerFor that counts as very many.
const flood = 100

// packing divides events among workflows: events of one kind together, as many as may share a workflow. The starter
// and the sweeper pack in the same way.
type packing struct {
	// maxEvents bounds the events of a workflow.
	maxEvents int
	bursts    []*burst
	// open are the bursts of each kind that have room.
	open map[kind][]*burst
}

// kind is what the events of a workflow have in common.
type kind struct {
	// tenant is that of events whose first attempts the workflow makes: they are made one after the other, so nobody's should
	// queue behind those of a tenant with many. Where there are many tenants with few events each, merge puts them together.
	// Events whose first attempts were made elsewhere share whichever tenants they are of, and the tenant is the zero value: a
	// thousand tenants must not need a thousand workflows.
	tenant    hook.TenantID
	owner     hook.ProcessID
	attempted bool
	// done says that nothing is left for the workflow. A tenant whose deliveries fail does not keep the workflow of others'
	// delivered events running.
	done bool
}

func kindOf(start *hook.Start) kind {
	k := kind{tenant: start.TenantID, owner: start.Owner, attempted: start.Attempted, done: start.IsDone()}
	if start.Attempted {
		k.tenant = hook.TenantID{}
	}
	return k
}

// burst is one or more events that share a workflow.
type burst struct {
	starts     []hook.Start
	deliveries int
	bytes      int
	// by is when a burst whose start can wait is started at the latest.
	by time.Time
}

func (b *burst) fits(start *hook.Start) bool {
	return b.deliveries+start.Deliveries <= maxBurstDeliveries && b.bytes+start.Bytes <= maxBurstBytes
}

func (b *burst) add(start *hook.Start) {
	b.starts = append(b.starts, *start)
	b.deliveries += start.Deliveries
	b.bytes += start.Bytes
}

// takes reports whether another burst may be joined to this one.
func (b *burst) takes(other *burst, maxEvents int) bool {
	return len(b.starts)+len(other.starts) <= maxEvents && b.deliveries+other.deliveries <= maxBurstDeliveries && b.bytes+other.bytes <= maxBurstBytes
}

// mixed reports whether the events are of several tenants.
func (b *burst) mixed() bool {
	return slices.ContainsFunc(b.starts, func(s hook.Start) bool { return s.TenantID != b.starts[0].TenantID })
}

// name returns the name of the burst's workflow: own, unless the events are of several tenants.
func (b *burst) name(own string) string {
	if b.mixed() {
		return contract.SharedID(rand.Text())
	}
	return own
}

func (b *burst) full(maxEvents int) bool {
	return len(b.starts) >= maxEvents || b.deliveries >= maxBurstDeliveries || b.bytes >= maxBurstBytes
}

func (b *burst) events() []hook.EventID {
	ids := make([]hook.EventID, 0, len(b.starts))
	for i := range b.starts {
		ids = append(ids, b.starts[i].EventID)
	}
	return ids
}

// add puts an event into the first burst that has room for it, or into a new one, and returns the burst.
func (p *packing) add(start *hook.Start) *burst {
	k := kindOf(start)
	open := p.open[k]
	at := slices.IndexFunc(open, func(b *burst) bool { return b.fits(start) })
	if at < 0 {
		b := &burst{}
		p.bursts, open, at = append(p.bursts, b), append(open, b), len(open)
	}
	b := open[at]
	b.add(start)
	if b.full(p.maxEvents) {
		open = slices.Delete(open, at, at+1)
	}
	if p.open == nil {
		p.open = map[kind][]*burst{}
	}
	p.open[k] = open
	return b
}

// remove takes a burst out.
func (p *packing) remove(b *burst) {
	p.bursts = slices.DeleteFunc(p.bursts, func(other *burst) bool { return other == b })
	k := kindOf(&b.starts[0])
	if p.open[k] = slices.DeleteFunc(p.open[k], func(other *burst) bool { return other == b }); len(p.open[k]) == 0 {
		delete(p.open, k)
	}
}

// merge joins bursts of several tenants that have room, if there are more bursts than can be started at once. Nothing can be
// added afterwards. A tenant with many events has bursts that are full, which stay its own.
func (p *packing) merge(atOnce int) {
	if len(p.bursts) <= atOnce {
		return
	}
	var merged []*burst
	joined := map[kind]*burst{}
	for _, b := range p.bursts {
		k := kindOf(&b.starts[0])
		k.tenant = hook.TenantID{}
		switch into := joined[k]; {
		case b.full(p.maxEvents):
			merged = append(merged, b)
		case into != nil && into.takes(b, p.maxEvents):
			for i := range b.starts {
				into.add(&b.starts[i])
			}
		default:
			merged, joined[k] = append(merged, b), b
		}
	}
	p.bursts, p.open = merged, nil
}

// newPacking returns a packing without events.
func (s *Starter) newPacking() *packing { return &packing{maxEvents: s.config.MaxEvents} }

// gather takes events from the queue and packs them together with one that was taken before.
func (s *Starter) gather(ctx context.Context, taken hook.Start) []*burst {
	p := s.newPacking()
	p.add(&taken)
	s.gatherInto(ctx, p)
	p.merge(s.config.Workers)
	return p.bursts
}

func (s *Starter) gatherInto(ctx context.Context, p *packing) {
	var linger <-chan time.Time
	if len(s.slots) > 0 && s.config.MaxEvents > 1 {
		linger = time.After(lingerFor)
	}
	again := true
	for n := 1; n < s.config.MaxEvents; {
		select {
		case start := <-s.queue:
			p.add(&start)
			n++
			continue
		default:
		}
		if linger == nil {
			return
		}
		select {
		case start := <-s.queue:
			p.add(&start)
			n++
		case <-s.ended:
			if len(s.slots) == 0 && n < busy {
				linger = nil
			}
		case <-linger:
			linger = nil
			if again && n >= flood {
				again, linger = false, time.After(lingerFor)
			}
		case <-ctx.Done():
			linger = nil
		}
	}
}

// startBurst names the workflow of a burst and starts it.
func (s *Starter) startBurst(ctx context.Context, b *burst) {
	if len(b.starts) == 1 && b.starts[0].IsDone() {
		// It needs no name: should another process start a second workflow for the event, that has nothing to do either.
		s.begin(ctx, b.starts[0])
		return
	}
	start, ok, err := s.nameWorkflow(ctx, b, b.name(contract.BurstID(b.starts[0].EventID)))
	given := start.EventIDs()
	for _, id := range b.events() {
		if !ok || !slices.Contains(given, id) {
			s.inProgress.remove(id)
		}
	}
	if err != nil {
		s.config.Logger.DebugContext(ctx, "start left to the sweeper", slog.Int("events", len(b.starts)), slog.Any("error", err))
	}
	if ok {
		s.begin(ctx, start)
	}
}

// nameWorkflow stores the name of the workflow that is about to be started for the events. A process that starts it
// again, after a crash or because the start takes long, so starts the same workflow. Several events get the given
// workflow, and one event gets its own. Events for which another process has named a workflow are left out; the result
// is false if those are all.
func (s *Starter) nameWorkflow(ctx context.Context, b *burst, workflow string) (start hook.Start, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	ids := b.events()
	if len(ids) == 1 {
		workflow = "" // the event's own
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
