package delivery

import (
	"context"
	"time"

	"grapnel/internal/hook"
)

// MaxBatch is the largest number of deferred deliveries that are loaded at once.
const MaxBatch = 256

// Page is a page of one webhook's deferred deliveries, with the memory that they take.
type Page struct {
	hook.DeferredPage
	webhook hook.WebhookID
	share   *share
}

// LoadDeferred loads a webhook's deferred deliveries, at most limit, when there is memory for
// them. The caller must call Release.
func (e *Engine) LoadDeferred(ctx context.Context, w Window, webhook hook.WebhookID, limit int) (Page, error) {
	share, err := e.reserve(ctx, w, limit)
	if err != nil {
		return Page{}, &StepError{"load deliveries", err}
	}
	page, err := e.deferredStore.Deferred(ctx, webhook, limit)
	if err != nil {
		share.release()
		return Page{}, err
	}
	share.keep(len(page.Jobs), len(page.Jobs))
	return Page{DeferredPage: page, webhook: webhook, share: share}, nil
}

// Release gives back the memory of the page. A second call does nothing.
func (p *Page) Release() { p.share.release() }

// due returns the first n jobs that are due now or in a moment.
func due(jobs []hook.Job, n int) []hook.Job {
	jobs = jobs[:min(n, len(jobs))]
	for i := range jobs {
		if jobs[i].DueIn > WorthWaiting {
			return jobs[:i]
		}
	}
	return jobs
}

// SendDue makes the next attempts of the first n deliveries of a page that are due. Until
// refillUntil it loads more of the webhook's deliveries behind them; if that is zero, it does
// not. If it could send nothing, it returns ErrStopping, ErrUnreadable or ErrBlocked.
func (e *Engine) SendDue(ctx context.Context, w Window, p *Page, n int, refillUntil time.Time) (Report, error) {
	return e.sendDeferred(ctx, w, p, due(p.Jobs, n), refillUntil)
}

// Probe makes one attempt to a webhook whose endpoint is unavailable: of the first delivery of
// its page.
func (e *Engine) Probe(ctx context.Context, w Window, p *Page) (Report, error) {
	e.limiter.reopen(p.webhook)
	return e.sendDeferred(ctx, w, p, p.Jobs[:1], time.Time{})
}

func (e *Engine) sendDeferred(ctx context.Context, w Window, p *Page, jobs []hook.Job, refillUntil time.Time) (Report, error) {
	defer p.Release()
	r := e.newRun(w, len(jobs), p.share)
	r.draining = true
	if !refillUntil.IsZero() {
		r.refill = newRefill(p.webhook, jobs, refillUntil)
	}
	if err := r.admit(ctx, jobs); err != nil {
		return Report{}, err
	}
	err := r.loop(ctx)
	report := Report{Deliveries: r.ended, Attempts: r.attempts, Answered: r.answered}
	switch nothing := r.attempts+len(r.ended) == 0; {
	case err != nil:
		report.Outstanding = r.outstanding()
		return report, err
	case !nothing:
		return report, nil
	case r.window.IsStopping():
		return report, ErrStopping
	case len(r.unreadable) > 0:
		report.NextIn = r.soonest()
		return report, ErrUnreadable
	}
	return report, ErrBlocked
}
