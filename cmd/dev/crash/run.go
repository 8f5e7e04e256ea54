package crash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Stack is a running Grapnel that can be struck.
type Stack interface {
	// Strike does the damage, and returns how many processes it ended when all that
	// was struck answers again. It is asked for everything but BreakReceivers, which
	// the run does by itself.
	Strike(ctx context.Context, s *Strike) (killed int, err error)
}

// Spec says what run to make.
type Spec struct {
	Damage Damage
	Seed   uint64
	// Rate is requests that publish per second, Length how long.
	Rate   float64
	Length time.Duration
	// Drain is how long what was accepted may take to reach its end after that.
	Drain time.Duration
	// Window is how far from a strike a request may lie that is made again.
	Window time.Duration
	// APIs are base URLs, Key an admin key, Database the URL of PostgreSQL.
	APIs     []string
	Key      string
	Database string
	Stack    Stack
	// Progress tells what happens.
	Progress func(format string, args ...any)
}

// run is one run under way.
type run struct {
	Spec
	balancer  *Balancer
	publisher *Publisher
	receiver  *Receiver
	network   *Proxy // between product and receiver
	webhooks  []*Webhook

	mu     sync.Mutex
	struck []Struck
}

// comeBack is how long a strike may take until everything answers again.
const comeBack = 2 * time.Minute

// Run publishes, strikes, waits for the end of everything and accounts for it.
func Run(ctx context.Context, spec Spec) (row Row, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{Spec: spec, balancer: NewBalancer(spec.APIs, spec.Key), webhooks: webhooks()}
	r.publisher = NewPublisher(r.balancer, spec.Seed)
	if r.receiver, err = StartReceiver(ctx, spec.Seed, r.webhooks); err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, r.receiver.Close()) }()
	if r.network, err = NewProxy(ctx, r.receiver.Addr()); err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, r.network.Close()) }()
	var polling sync.WaitGroup
	polling.Go(func() { r.balancer.Run(ctx) })
	defer polling.Wait()
	defer cancel()
	if err := subscribe(ctx, r.balancer, "http://"+r.network.Addr(), r.webhooks); err != nil {
		return row, err
	}
	begin := time.Now()
	group, striking := errgroup.WithContext(ctx)
	group.Go(func() error { r.publisher.Run(striking, spec.Rate, spec.Length); return nil })
	group.Go(func() error { return r.strikeAll(striking, begin) })
	if err := group.Wait(); err != nil {
		return row, err
	}
	end := time.Now()
	if err := r.drain(ctx); err != nil {
		return row, err
	}
	return r.account(ctx, begin, end)
}

// strikeAll does what the plan says: strikes of one kind one after the other, mixed
// ones whenever it is their time.
func (r *run) strikeAll(ctx context.Context, begin time.Time) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range Plan(r.Seed, r.Damage, r.Length) {
		if wait := time.Until(begin.Add(s.At)); wait > 0 && sleep(ctx, wait) != nil {
			break
		}
		if time.Since(begin) > r.Length {
			break // those before took longer than planned
		}
		if r.Damage == All {
			group.Go(func() error { return r.strike(ctx, &s) })
		} else if err := r.strike(ctx, &s); err != nil {
			return err
		}
	}
	return group.Wait()
}

func (r *run) strike(ctx context.Context, s *Strike) error {
	r.Progress("strike %d: %s, for %v", s.Number, s.Damage, s.For.Round(10*time.Millisecond))
	ctx, cancel := context.WithTimeout(ctx, comeBack)
	defer cancel()
	struck := Struck{Strike: *s, Begin: time.Now()}
	var err error
	if s.Damage == BreakReceivers {
		err = Break(ctx, r.network, s)
	} else {
		struck.Killed, err = r.Stack.Strike(ctx, s)
	}
	struck.End = time.Now()
	r.mu.Lock()
	r.struck = append(r.struck, struck)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("strike %d, %s: %w", s.Number, s.Damage, err)
	}
	r.Progress("strike %d: over after %v", s.Number, struck.End.Sub(struck.Begin).Round(10*time.Millisecond))
	return nil
}

// Break breaks a proxy for as long as the strike says.
func Break(ctx context.Context, p *Proxy, s *Strike) error {
	p.Set(Fault(1 + s.Choose(Faults)))
	defer p.Set(Pass)
	return sleep(ctx, s.For)
}

// drain waits until nothing is outstanding, or for as long as is allowed: then the
// oracle tells what is left.
func (r *run) drain(ctx context.Context) error {
	until := time.Now().Add(r.Drain)
	left := -1
	for {
		n, err := outstanding(ctx, r.Database)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && n == 0:
			return nil
		case time.Now().After(until):
			return err
		case err == nil && left < 0:
			r.Progress("waiting for %d to end", n)
			left = n
		}
		if err := sleep(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

// settle is how long duplicates are waited for that come last.
const settle = time.Second

// account gathers the evidence and has it judged. begin and end are those of the
// publishing and striking.
func (r *run) account(ctx context.Context, begin, end time.Time) (Row, error) {
	if err := sleep(ctx, settle); err != nil {
		return Row{}, err
	}
	e := &Evidence{Damage: r.Damage, Webhooks: r.webhooks, Struck: r.struck, Window: r.Window}
	e.Publications, e.Counts = r.publisher.Publications()
	var err error
	if e.Store, err = readStore(ctx, r.Database); err != nil {
		return Row{}, err
	}
	if e.Listed, err = readLists(ctx, r.balancer, r.webhooks); err != nil {
		return Row{}, err
	}
	e.Requests = r.receiver.Requests()
	found := Check(e)
	if err := r.sample(ctx, e.Store); err != nil {
		found.Violations = append(found.Violations, Violation{RuleList, err.Error()})
	}
	row := newRow(e, &found, begin, end)
	for _, s := range e.Struck {
		row.AcceptedMeanwhile += r.publisher.AcceptedBetween(s.Begin, s.End)
	}
	if r.Damage == KillTemporal && row.AcceptedMeanwhile == 0 {
		row.Violations = append(row.Violations, Violation{RuleAnswer, "nothing was accepted while Temporal was down"})
	}
	return row, nil
}

// sampled is how many events are looked at one by one.
const sampled = 20

// sample reads some events and the attempts of their deliveries as a person would
// (S10, S13), and holds them against the store.
func (r *run) sample(ctx context.Context, s *Store) error {
	attempts := map[string]int{}
	for _, a := range s.Attempts {
		attempts[a.DeliveryID]++
	}
	for i := 0; i < len(s.Deliveries); i += max(1, len(s.Deliveries)/sampled) {
		d := &s.Deliveries[i]
		var detail struct {
			Attempts   int
			AttemptLog []struct{ Number int } `json:"attempt_log"`
		}
		if err := call(ctx, r.balancer, http.MethodGet, "/v1/deliveries/"+d.ID, nil, &detail); err != nil {
			return err
		}
		if detail.Attempts != d.Attempts || len(detail.AttemptLog) != attempts[d.ID] {
			return fmt.Errorf("delivery %s is shown with %d attempts, %d of them logged; it has %d", d.ID, detail.Attempts, len(detail.AttemptLog), d.Attempts)
		}
		for i, a := range detail.AttemptLog {
			if a.Number != i+1 {
				return fmt.Errorf("delivery %s: the log's attempt %d is shown as %d", d.ID, i+1, a.Number)
			}
		}
	}
	return nil
}
