package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"grapnel/internal/wait"
)

// Stack is a running Grapnel that can be damaged.
type Stack interface {
	// Strike does the damage. When everything that was struck answers again, it returns the number of processes that
	// it ended. The run itself does BreakReceivers, LockRows and EndWebhooks.
	Strike(ctx context.Context, s *Strike) (killed int, err error)
	// Survey reports the state of the APIs and workers.
	Survey() (Survey, error)
}

// Survey is the state of the APIs and workers.
type Survey struct {
	// Died are the processes that ended without being struck.
	Died []string
	// Memory is the most memory that each process has used, in bytes, and Bound its limit; 0 means no limit.
	Memory map[string]int64
	Bound  int64
	// Enforced reports whether the kernel enforces the limit.
	Enforced bool
}

// Spec describes a run.
type Spec struct {
	Damage Damage
	Seed   uint64
	// Short selects the short form of long damages.
	Short bool
	// Rate is the number of requests to publish per second, and Length the time of publishing; a damage with stages
	// lasts until its stages are over.
	Rate   float64
	Length time.Duration
	// Drain is the time after publishing in which accepted events must reach their end.
	Drain time.Duration
	// Window is the longest time between a repeated request and the strike that caused it.
	Window time.Duration
	// APIs are the base URLs, Key is an admin key, and Database is the URL of PostgreSQL.
	APIs     []string
	Key      string
	Database string
	Stack    Stack
	// Progress reports what the run is doing.
	Progress func(format string, args ...any)
}

// run is a run in progress.
type run struct {
	Spec
	balancer  *Balancer
	publisher *Publisher
	receiver  *Receiver
	network   *Proxy // between the product and the receiver
	webhooks  []*Webhook
	// ended are the webhooks of EndWebhooks, which are not in webhooks.
	ended []*Webhook

	// staged is closed when all stages are over.
	staged chan struct{}

	mu     sync.Mutex
	struck []Struck
}

// comeBack is the longest time until everything answers again after a strike.
const comeBack = 2 * time.Minute

// Run publishes, strikes, waits for the end of all deliveries and accounts for them.
func Run(ctx context.Context, spec Spec) (row Row, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{Spec: spec, balancer: NewBalancer(spec.APIs, spec.Key), webhooks: webhooks(spec.Damage), ended: endedWebhooks(spec.Damage), staged: make(chan struct{})}
	r.publisher = NewPublisher(r.balancer, spec.Seed)
	if r.receiver, err = StartReceiver(ctx, spec.Seed, slices.Concat(r.webhooks, r.ended)); err != nil {
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
	if err := subscribe(ctx, r.balancer, "http://"+r.network.Addr(), slices.Concat(r.webhooks, r.ended)); err != nil {
		return row, err
	}
	begin := time.Now()
	group, striking := errgroup.WithContext(ctx)
	over := make(chan struct{})
	group.Go(func() error { r.publisher.Run(striking, spec.Rate, over); return nil })
	group.Go(func() error { return r.strikeAll(striking, begin) })
	group.Go(func() error { return r.endAfter(striking, over) })
	if err := group.Wait(); err != nil {
		return row, err
	}
	end := time.Now()
	if err := r.drain(ctx); err != nil {
		return row, err
	}
	return r.account(ctx, begin, end)
}

// strikeAll follows the plan. Strikes of one kind come one after another; mixed strikes come at their planned time.
func (r *run) strikeAll(ctx context.Context, begin time.Time) error {
	if Of(r.Damage).Stages > 0 {
		return r.strikeInStages(ctx)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range Plan(r.Seed, r.Damage, r.Length, r.Short) {
		if left := time.Until(begin.Add(s.At)); left > 0 && wait.For(ctx, left) != nil {
			break
		}
		if time.Since(begin) > r.Length {
			break // earlier strikes took longer than planned
		}
		if len(kindsOf(r.Damage)) > 1 {
			group.Go(func() error { return r.strike(ctx, &s) })
		} else if err := r.strike(ctx, &s); err != nil {
			return err
		}
	}
	return group.Wait()
}

// strikeInStages runs all stages, each once.
func (r *run) strikeInStages(ctx context.Context) error {
	if err := wait.For(ctx, firstStrike); err != nil {
		return err
	}
	for _, s := range Plan(r.Seed, r.Damage, r.Length, r.Short) {
		if err := r.strike(ctx, &s); err != nil {
			return err
		}
		if err := wait.For(ctx, betweenStages); err != nil {
			return err
		}
	}
	close(r.staged)
	return nil
}

// endAfter ends publishing after the run's length or, with stages, after the last stage.
func (r *run) endAfter(ctx context.Context, over chan<- struct{}) error {
	defer close(over)
	if Of(r.Damage).Stages == 0 {
		return wait.For(ctx, r.Length)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-r.staged:
		return nil
	}
}

func (r *run) strike(ctx context.Context, s *Strike) error {
	length := ""
	if s.For > 0 {
		length = fmt.Sprintf(", for %v", s.For.Round(10*time.Millisecond))
	}
	r.Progress("strike %d: %s%s", s.Number, s.name(), length)
	ctx, cancel := context.WithTimeout(ctx, comeBack+s.For+Of(s.Damage).more)
	defer cancel()
	struck := &Struck{Strike: *s, Begin: time.Now()}
	err := r.strikeWith(ctx, struck)
	struck.End = time.Now()
	r.mu.Lock()
	r.struck = append(r.struck, *struck)
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("strike %d, %s: %w", s.Number, s.Damage, err)
	}
	r.Progress("strike %d: over after %v", s.Number, struck.End.Sub(struck.Begin).Round(10*time.Millisecond))
	return nil
}

// strikeWith does the damages that the run does itself, and has the stack do the others.
func (r *run) strikeWith(ctx context.Context, struck *Struck) (err error) {
	switch struck.Damage { //nolint:exhaustive // the stack does the others
	case BreakReceivers:
		return Break(ctx, r.network, &struck.Strike)
	case LockRows:
		return r.lock(ctx, struck)
	case EndWebhooks:
		return r.endWebhook(ctx, struck)
	}
	s := struck.Strike
	if meanwhile := r.meanwhile(struck); meanwhile != nil {
		s.While = func(ctx context.Context, t Target) error {
			struck.Target, struck.Held[0] = t, time.Now()
			defer func() { struck.Held[1] = time.Now() }()
			return meanwhile(ctx, t)
		}
	}
	if s.Damage == Freeze && s.Stage == FreezeAPI {
		s.Stir = r.stir
	}
	if s.Damage == StallOwner {
		s.Occupy = r.occupy
	}
	struck.Killed, err = r.Stack.Strike(ctx, &s)
	return err
}

// Break sets a fault on a proxy for as long as the strike says.
func Break(ctx context.Context, p *Proxy, s *Strike) error {
	p.Set(Fault(1 + s.Choose(Faults)))
	defer p.Set(Pass)
	return wait.For(ctx, s.For)
}

// drain waits until no delivery is outstanding, or until the time allowed for that is over; the oracle then reports
// the rest.
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
		if err := wait.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
