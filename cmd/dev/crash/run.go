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

// Stack is a running Grapnel that can be struck.
type Stack interface {
	// Strike does the damage, and returns how many processes it ended when all that
	// was struck answers again. It is asked for everything but what the run does by
	// itself: BreakReceivers, LockRows, EndWebhooks.
	Strike(ctx context.Context, s *Strike) (killed int, err error)
	// Survey looks at the APIs and workers.
	Survey() (Survey, error)
}

// Survey is what became of the APIs and workers.
type Survey struct {
	// Died are those that ended and were not struck.
	Died []string
	// Memory is the most that each has held, in bytes, and Bound what it may hold; 0 is
	// as much as there is.
	Memory map[string]int64
	Bound  int64
	// Enforced says that the kernel sees to the bound.
	Enforced bool
}

// Spec says what run to make.
type Spec struct {
	Damage Damage
	Seed   uint64
	// Short says that what is long has a short form.
	Short bool
	// Rate is requests that publish per second, Length how long; a damage with stages
	// lasts until they are over.
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
	// ended are EndWebhooks' own, which are in no list.
	ended []*Webhook

	// staged is closed when all stages are over.
	staged chan struct{}

	mu     sync.Mutex
	struck []Struck
}

// comeBack is how long a strike may take until everything answers again.
const comeBack = 2 * time.Minute

// Run publishes, strikes, waits for the end of everything and accounts for it.
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

// strikeAll does what the plan says: strikes of one kind one after the other, mixed
// ones whenever it is their time.
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
			break // those before took longer than planned
		}
		if len(kindsOf(r.Damage)) > 1 {
			group.Go(func() error { return r.strike(ctx, &s) })
		} else if err := r.strike(ctx, &s); err != nil {
			return err
		}
	}
	return group.Wait()
}

// strikeInStages does all stages, each once.
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

// endAfter ends publishing.
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

// strikeWith does what is the run's to do, and has the stack do the rest.
func (r *run) strikeWith(ctx context.Context, struck *Struck) (err error) {
	switch struck.Damage { //nolint:exhaustive // the others are the stack's
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
	struck.Killed, err = r.Stack.Strike(ctx, &s)
	return err
}

// Break breaks a proxy for as long as the strike says.
func Break(ctx context.Context, p *Proxy, s *Strike) error {
	p.Set(Fault(1 + s.Choose(Faults)))
	defer p.Set(Pass)
	return wait.For(ctx, s.For)
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
		if err := wait.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}
