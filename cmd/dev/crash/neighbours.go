package crash

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Probe is an event published during a strike by a neighbour: a publisher that needs nothing of what was struck.
type Probe struct {
	// Begin is the time of the first request to publish the event, and Accepted the time of its successful response.
	// Recorded is the time at which the store first showed its delivery as a success, up to a tenth of a second late.
	// A time is zero if that never happened.
	Begin, Accepted, Recorded time.Time
}

const (
	// probeEvery is the time between two probes.
	probeEvery = 250 * time.Millisecond
	// moment is the longest time that a neighbour may wait for a response or a record.
	moment = 8 * time.Second
	// recentProbes is the number of the neighbour's latest deliveries that are read: those of two minutes and more.
	recentProbes = 1000
)

// probing publishes probes and watches for their results.
type probing struct {
	run     *run
	webhook *Webhook
	via     *Balancer

	mu     sync.Mutex
	probes map[string]*Probe // by event
	list   []*Probe
}

// probe publishes for the neighbour, through the APIs of a balancer, while during runs. It returns when the last
// probe is recorded, or a moment after during has returned.
func (r *run) probe(ctx context.Context, via *Balancer, number int, during func(context.Context) error) ([]Probe, error) {
	p := &probing{run: r, via: via, probes: map[string]*Probe{}}
	for _, w := range r.webhooks {
		if w.Name == "neighbour" {
			p.webhook = w
		}
	}
	life, cancel := context.WithCancel(ctx)
	defer cancel()
	var looking, publishing sync.WaitGroup
	looking.Go(func() { p.look(life) })
	over := make(chan struct{})
	publishing.Go(func() { p.publish(life, number, over) })
	err := during(ctx)
	close(over)
	end := time.AfterFunc(moment, cancel)
	defer end.Stop()
	publishing.Wait()
	for life.Err() == nil && !p.complete() {
		_ = wait.For(life, probeEvery) // the loop checks life
	}
	cancel()
	looking.Wait()
	list := make([]Probe, 0, len(p.list))
	for _, probe := range p.list {
		list = append(list, *probe)
	}
	return list, err
}

// publish publishes probes until over is closed.
func (p *probing) publish(ctx context.Context, number int, over <-chan struct{}) {
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	var group sync.WaitGroup
	defer group.Wait()
	for n := 0; ; n++ {
		select {
		case <-over:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		probe := &Probe{Begin: time.Now()}
		p.mu.Lock()
		p.list = append(p.list, probe)
		p.mu.Unlock()
		group.Go(func() {
			o := order{kind: single, n: n, typ: typeNeighbour, prefix: fmt.Sprintf("near.%d.", number)}
			published := p.run.publisher.publish(ctx, p.via, o)[0]
			if published.Accepted {
				p.mu.Lock()
				probe.Accepted = published.At
				p.probes[published.ID] = probe
				p.mu.Unlock()
			}
		})
	}
}

// complete reports whether all probes are recorded.
func (p *probing) complete() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, probe := range p.list {
		if probe.Recorded.IsZero() {
			return false
		}
	}
	return true
}

// look watches for recorded probes until ctx ends.
func (p *probing) look(ctx context.Context) {
	for ctx.Err() == nil {
		if conn, err := pgx.Connect(ctx, p.run.Database); err == nil {
			for err == nil {
				err = p.lookOnce(ctx, conn)
			}
			_ = conn.Close(context.WithoutCancel(ctx)) // the connection was only read from
		}
		_ = wait.For(ctx, probeEvery) // the loop checks ctx
	}
}

func (p *probing) lookOnce(ctx context.Context, conn *pgx.Conn) error {
	rows, _ := conn.Query(ctx, `
		select event_id::text from (
			select event_id, state from deliveries where webhook_id = $1 order by id desc limit $2) recent
		where state = $3`, p.webhook.ID, recentProbes, hook.StateSuccess)
	events, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	now := time.Now()
	p.mu.Lock()
	for _, id := range events {
		if probe := p.probes[id]; probe != nil && probe.Recorded.IsZero() {
			probe.Recorded = now
		}
	}
	p.mu.Unlock()
	return wait.For(ctx, 100*time.Millisecond)
}

// meanwhile returns the function that the run calls while the stack holds a strike; nil if there is none.
func (r *run) meanwhile(struck *Struck) func(context.Context, Target) error {
	await := func(ctx context.Context) error { return wait.For(ctx, struck.For) }
	switch struck.Damage { //nolint:exhaustive // the run does nothing during the others
	case LoseNamespace, StopTemporal, AwayTemporal:
		return func(ctx context.Context, _ Target) error { return await(ctx) }
	case CutTemporal:
		return func(ctx context.Context, t Target) (err error) {
			struck.Probes, err = r.probe(ctx, r.balancer.Only(t.API), struck.Number, await)
			return err
		}
	case Freeze, StallOwner:
		return func(ctx context.Context, t Target) (err error) {
			struck.Probes, err = r.probe(ctx, r.balancer.But(t.API), struck.Number, await)
			return err
		}
	case FillMemory:
		return func(ctx context.Context, _ Target) error { return r.publishLarge(ctx, struck.Size) }
	case LeapClock:
		return func(ctx context.Context, t Target) error { return r.publishAhead(ctx, t.API, struck) }
	}
	return nil
}

// largeAtOnce is how many batches of large events, of 10 MB each, are published at once.
const largeAtOnce = 4

// publishLarge publishes large events.
func (r *run) publishLarge(ctx context.Context, events int) error {
	r.Progress("publishing %d events of %d bytes", events, largePadding)
	slots := make(chan struct{}, largeAtOnce)
	var group sync.WaitGroup
	for n := range events / largeBatch {
		slots <- struct{}{}
		group.Go(func() {
			r.publisher.publish(ctx, r.balancer, order{kind: batch, n: n, typ: typeLarge, prefix: largeRef})
			<-slots
		})
	}
	group.Wait()
	return ctx.Err()
}

// publishAhead publishes a few events through the API whose clock is ahead.
func (r *run) publishAhead(ctx context.Context, api string, struck *Struck) error {
	until := time.Now().Add(struck.For)
	for n := 0; time.Now().Before(until) && ctx.Err() == nil; n++ {
		r.publisher.publish(ctx, r.balancer.Only(api), order{kind: single, n: n, typ: typeUser, prefix: fmt.Sprintf("ahead.%d.", struck.Number)})
		_ = wait.For(ctx, 100*time.Millisecond) // the loop checks ctx
	}
	return ctx.Err()
}

// stirring is the number of publishers of stir.
const stirring = 8

// stir publishes keyed events and messages through one API until ctx ends, so that the API is in the middle of a
// transaction most of the time.
func (r *run) stir(ctx context.Context, api string) {
	via := r.balancer.Only(api)
	var group sync.WaitGroup
	for i := range stirring {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				o := order{kind: keyed, n: n, typ: typeUser, prefix: fmt.Sprintf("stir.%d.", i)}
				if n%4 == 3 {
					o.kind, o.typ = momento, chatter
				}
				r.publisher.publish(ctx, via, o)
			}
		})
	}
	group.Wait()
}
