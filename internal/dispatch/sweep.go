package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

const (
	// sweepPage is how many events are claimed at once. What a page costs beside its starts
	// is some statements: the more events, the fewer those, and the more of a tenant's share
	// a workflow, where there are many tenants.
	sweepPage = 5000
	// claimFor is how long what a process has claimed that is gone waits for another.
	claimFor = 30 * time.Second
	// startWithin is when a page's last start begins, so that it ends within the claim. What
	// has not begun by then is given back.
	startWithin = claimFor - startTimeout
)

// errLate says that a page's time was over before its turn came.
var errLate = errors.New("claimed for too long")

// page claims a page of the outbox and starts it. More is that there may be another.
//
// Whatever is killed or cut off in between, the claims end by themselves, and whoever
// claims the events next starts the same workflows, which are found where they run.
// What was refused keeps its claim, so that it is tried again in a while, and does not
// keep what comes after it from being started.
func (s *Sweeper) page(ctx context.Context) (more bool, err error) {
	begin := time.Now()
	page, err := s.Backlog.ClaimUnstarted(ctx, hook.OutboxClaim{
		Age: s.Age, For: claimFor, After: s.after, Except: s.Starter.mine.all(), Limit: sweepPage,
	})
	if err != nil {
		s.unclaim(ctx, page.Events)
		return false, err
	}
	if len(page.Events) == 0 {
		return s.turn(&page), nil
	}
	list, err := s.unstarted(ctx, &page)
	if err != nil {
		s.unclaim(ctx, page.Events)
		return false, err
	}
	sum := s.startAll(ctx, list, begin)
	if len(sum.started) > 0 {
		s.Logger.InfoContext(ctx, "swept", slog.Int("started", len(sum.started)), slog.Int("found", len(page.Events)))
		err = s.mark(ctx, sum.started)
	}
	s.pace.start(sum.started, page.More)
	if len(sum.left) > 0 {
		s.unclaim(ctx, sum.left) // and the same page again
		return sum.failure == nil, errors.Join(sum.failure, err)
	}
	return s.turn(&page), err
}

// turn goes on to the next page, or back to the first.
func (s *Sweeper) turn(page *hook.OutboxPage) (more bool) {
	s.after = hook.EventID{}
	if page.More {
		s.after = page.Last
	}
	return page.More
}

// unstarted is a workflow to be started: one that has a name, or one to be given one.
type unstarted struct {
	start   hook.Start
	unnamed *burst
}

func (u *unstarted) events() []hook.EventID {
	if u.unnamed == nil {
		return u.start.EventIDs()
	}
	ids := make([]hook.EventID, 0, len(u.unnamed.starts))
	for i := range u.unnamed.starts {
		ids = append(ids, u.unnamed.starts[i].EventID)
	}
	return ids
}

// unstarted are the workflows of a page, those without a name packed as a starter does,
// with the targets that they show.
func (s *Sweeper) unstarted(ctx context.Context, page *hook.OutboxPage) ([]unstarted, error) {
	p := packing{most: s.Starter.config.MaxEvents}
	for i := range page.Unnamed {
		p.add(&page.Unnamed[i])
	}
	all := slices.Clone(page.Named)
	for _, b := range p.bursts {
		all = append(all, b.starts)
	}
	targets, err := s.Backlog.Targets(ctx, hook.NamedOf(all))
	if err != nil {
		return nil, err
	}
	var list []unstarted
	for _, start := range hook.JoinStarts(page.Named, targets) {
		list = append(list, unstarted{start: start})
	}
	for _, b := range p.bursts {
		for i := range b.starts {
			b.starts[i].Targets = targets[b.starts[i].EventID]
		}
		list = append(list, unstarted{unnamed: b})
	}
	return list, nil
}

// swept is what a page came to.
type swept struct {
	// started are events whose workflow runs; left are those that have to be given back.
	started, left []hook.EventID
	// failure is that Temporal was, or went, away.
	failure error
}

// startAll starts each, as long as there is time.
func (s *Sweeper) startAll(ctx context.Context, list []unstarted, begin time.Time) (sum swept) {
	started := make([][]hook.EventID, len(list))
	errs, away := askAll(len(list), s.Starter.config.Workers, func(i int) (err error) {
		if time.Since(begin) > startWithin {
			return errLate
		}
		started[i], err = s.start(ctx, &list[i])
		return err
	})
	refused := 0
	for i, err := range errs {
		switch {
		case err == nil:
			sum.started = append(sum.started, started[i]...)
		case ctx.Err() != nil, isAway(err), errors.Is(err, errAway), errors.Is(err, errLate):
			sum.left = append(sum.left, list[i].events()...)
		default:
			refused++
		}
	}
	failure := firstOf(errs)
	switch {
	case away:
		sum.failure = errors.Join(errAway, failure)
	case ctx.Err() != nil:
		sum.failure = ctx.Err()
	case refused > 0:
		s.Logger.WarnContext(ctx, "some starts failed", slog.Int("failed", refused), slog.Any("error", failure))
	}
	return sum
}

// start starts one, and returns the events that are in it: not those that a starter of
// another process has named another workflow for.
func (s *Sweeper) start(ctx context.Context, u *unstarted) ([]hook.EventID, error) {
	start := u.start
	if u.unnamed != nil {
		named, ok, err := s.Starter.name(ctx, u.unnamed, contract.SweptID(u.unnamed.starts[0].EventID, rand.Text()))
		if err != nil {
			return nil, &notNamedError{err}
		}
		if !ok {
			return nil, nil
		}
		start = named
	}
	err := s.Starter.start(ctx, start)
	s.Starter.config.Metrics.Started(BySweeper, len(start.Others)+1, err)
	if err != nil {
		return nil, err
	}
	return start.EventIDs(), nil
}

// notNamedError hides what the store's failure was: it must not pass for Temporal's.
type notNamedError struct{ err error }

func (e *notNamedError) Error() string { return "name a workflow: " + e.err.Error() }

// mark tells the outbox what has been started. Forgetting to costs a second start.
func (s *Sweeper) mark(ctx context.Context, events []hook.EventID) error {
	ctx, cancel := lastly(ctx)
	defer cancel()
	return s.Backlog.Started(ctx, events)
}

// unclaim gives events back. What is not, because the store is away, is free in a while.
func (s *Sweeper) unclaim(ctx context.Context, events []hook.EventID) {
	if len(events) == 0 {
		return
	}
	last, cancel := lastly(ctx)
	defer cancel()
	if err := s.Backlog.Unclaim(last, events); err != nil {
		s.Logger.DebugContext(ctx, "claims not given back", slog.Any("error", err))
	}
}
