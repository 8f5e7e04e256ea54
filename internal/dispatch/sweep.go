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
	"grapnel/internal/metrics/measure"
)

const (
	// sweepPage is how many events are claimed at once. A page costs some statements besides its starts. With more
	// events it costs fewer statements for each, and workflows have more events.
	sweepPage = 5000
	// claimFor is how long the claims of a process that has crashed last.
	claimFor = 30 * time.Second
	// startWithin is when the last start of a page begins at the latest, so that it ends within the claim. Events whose
	// start has not begun by then are given back.
	startWithin = claimFor - startTimeout
)

// errLate is the error of a start that was not made, because the claims of its page were about to expire.
var errLate = errors.New("claimed for too long")

// page claims a page of the outbox and starts its workflows. It reports whether there may be another page.
//
// If this process is killed or cut off, its claims expire, and the process that claims the events next starts the same
// workflows, and finds those that run. An event whose start was refused keeps its claim: it is tried again later, and
// does not hold up the events after it.
func (s *Sweeper) page(ctx context.Context) (more bool, err error) {
	begin := time.Now()
	page, err := s.config.Store.ClaimUnstarted(ctx, hook.OutboxClaim{
		Age: s.config.Age, For: claimFor, After: s.after, Except: s.config.Starter.eventsInProgress(), Limit: sweepPage,
		Process: s.config.Process(),
	})
	if err != nil {
		s.unclaim(ctx, page.Events)
		return false, err
	}
	if len(page.Events) == 0 {
		return s.advance(&page), nil
	}
	list, err := s.startsOf(ctx, &page)
	if err != nil {
		s.unclaim(ctx, page.Events)
		return false, err
	}
	result := s.startAll(ctx, list, begin)
	if len(result.started) > 0 {
		s.config.Logger.InfoContext(ctx, "swept", slog.Int("started", len(result.started)), slog.Int("found", len(page.Events)))
		err = s.mark(ctx, result.started)
	}
	s.pace.start(result.started, page.More)
	if len(result.left) > 0 {
		s.unclaim(ctx, result.left) // and the next round claims the same page
		return result.failure == nil, errors.Join(result.failure, err)
	}
	return s.advance(&page), err
}

// advance moves on to the next page, or back to the first one after the last.
func (s *Sweeper) advance(page *hook.OutboxPage) (more bool) {
	s.after = hook.EventID{}
	if page.More {
		s.after = page.Last
	}
	return page.More
}

// sweptStart is the start of a workflow for events of a page.
type sweptStart struct {
	// start is the start of a workflow that already has a name.
	start hook.Start
	// unnamed are the events of a workflow that gets its name now; nil if start is set.
	unnamed *burst
}

func (u *sweptStart) events() []hook.EventID {
	if u.unnamed == nil {
		return u.start.EventIDs()
	}
	return u.unnamed.events()
}

// startsOf returns the starts for a page, with the webhooks that each workflow shows. Events that have no workflow are
// packed as the starter does it.
func (s *Sweeper) startsOf(ctx context.Context, page *hook.OutboxPage) ([]sweptStart, error) {
	p := s.config.Starter.newPacking()
	for i := range page.Unnamed {
		p.add(&page.Unnamed[i])
	}
	p.merge(s.config.Starter.concurrency())
	all := slices.Clone(page.Named)
	for _, b := range p.bursts {
		all = append(all, b.starts)
	}
	targets, err := s.config.Store.Targets(ctx, hook.NamedOf(all))
	if err != nil {
		return nil, err
	}
	var list []sweptStart
	for _, start := range hook.JoinStarts(page.Named, targets) {
		list = append(list, sweptStart{start: start})
	}
	for _, b := range p.bursts {
		for i := range b.starts {
			b.starts[i].Targets = targets[b.starts[i].EventID]
		}
		list = append(list, sweptStart{unnamed: b})
	}
	return list, nil
}

// sweepResult is the outcome of a page.
type sweepResult struct {
	// started are the events whose workflow runs, and left the events that have to be given back.
	started, left []hook.EventID
	// failure is not nil if Temporal was unavailable or ctx has ended.
	failure error
}

// startAll makes the starts for as long as the claims last.
func (s *Sweeper) startAll(ctx context.Context, list []sweptStart, begin time.Time) (result sweepResult) {
	started := make([][]hook.EventID, len(list))
	errs, unavailable := callAll(len(list), s.config.Starter.concurrency(), func(i int) (err error) {
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
			result.started = append(result.started, started[i]...)
		case ctx.Err() != nil, isUnavailable(err), errors.Is(err, errUnavailable), errors.Is(err, errLate):
			result.left = append(result.left, list[i].events()...)
		default:
			refused++
		}
	}
	failure := firstError(errs)
	switch {
	case unavailable:
		result.failure = errors.Join(errUnavailable, failure)
	case ctx.Err() != nil:
		result.failure = ctx.Err()
	case refused > 0:
		s.config.Logger.WarnContext(ctx, "some starts failed", slog.Int("failed", refused), slog.Any("error", failure))
	}
	return result
}

// start starts a workflow and returns its events. Events for which the starter of another process has named another
// workflow are left out.
func (s *Sweeper) start(ctx context.Context, u *sweptStart) ([]hook.EventID, error) {
	start := u.start
	if u.unnamed != nil {
		own := contract.SweptID(u.unnamed.starts[0].EventID, rand.Text())
		named, ok, err := s.config.Starter.nameWorkflow(ctx, u.unnamed, u.unnamed.name(own))
		if err != nil {
			return nil, &notNamedError{err}
		}
		if !ok {
			return nil, nil
		}
		start = named
	}
	if err := s.config.Starter.startEvents(ctx, start, measure.BySweeper); err != nil {
		return nil, err
	}
	return start.EventIDs(), nil
}

// notNamedError is a failure of the store. It does not unwrap to its cause, which could pass for a failure of Temporal.
type notNamedError struct{ err error }

func (e *notNamedError) Error() string { return "name a workflow: " + e.err.Error() }

// mark removes started events from the outbox. If that fails, they are started a second time, and their workflows are
// found running.
func (s *Sweeper) mark(ctx context.Context, events []hook.EventID) error {
	ctx, cancel := writeContext(ctx)
	defer cancel()
	return s.config.Store.Started(ctx, events)
}

// unclaim gives events back. If the store is unavailable, the claims expire.
func (s *Sweeper) unclaim(ctx context.Context, events []hook.EventID) {
	if len(events) == 0 {
		return
	}
	write, cancel := writeContext(ctx)
	defer cancel()
	if err := s.config.Store.Unclaim(write, events); err != nil {
		s.config.Logger.DebugContext(ctx, "claims not given back", slog.Any("error", err))
	}
}
