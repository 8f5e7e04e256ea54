package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// drainState goes from one run of the activity to the next.
type drainState struct {
	contract.DrainResult
	// Probes are those in a row that found nobody there, and ProbeAt is when the next
	// one may be made.
	Probes  int       `json:"probes,omitempty"`
	ProbeAt time.Time `json:"probe_at,omitzero"`
	// Batch is how many deliveries were sent together the last time, since the endpoint
	// came back or the pause ended; 0 if there was neither.
	Batch int `json:"batch,omitempty"`
}

const (
	// drainFor is how long a run goes on beginning batches; the last may take as long as
	// the longest request.
	drainFor = 10 * time.Second
	// firstBatch and mostBatch bound a batch. To an endpoint that has come back it
	// doubles each time, and drainRate bounds how many a second it gets of its backlog:
	// it is not to be buried. What was only over a limit keeps to that.
	firstBatch = 4
	mostBatch  = 256
	drainRate  = 200
	// mostSleep bounds the sleep of a drain or a replay, whatever its reason: Temporal does
	// not, and who wakes it may be an older binary, or may have died over it.
	mostSleep = 5 * time.Minute
	// mostProbeDelay is the longest time between two probes of an endpoint that is
	// unavailable; they begin a second apart and double it.
	mostProbeDelay = mostSleep
	// drainNap is the longest sleep of a drain whose endpoint is available, or that could
	// not be noted.
	drainNap = 30 * time.Second
	// drainSlack is added to when a drain says it will look again.
	drainSlack = contract.RunTimeout
)

// Drain sends what is parked of a webhook's deliveries, at a bounded rate. While the
// webhook is paused it sends nothing. While the
// endpoint is unavailable it sends one at a time, ever more rarely, until one is
// answered; such a probe is an ordinary attempt of its delivery. It returns an error
// that asks for the next run as long as something is parked.
func (a *Activities) Drain(ctx context.Context, in contract.DrainInput) (contract.DrainResult, error) {
	d := drain{Activities: a, stops: a.stops(ctx), webhook: in.WebhookID, began: a.now()}
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &d.state); err != nil {
			return contract.DrainResult{}, a.ours(ctx, "drain", err)
		}
	}
	for {
		ended, err := d.step(ctx)
		switch {
		case err != nil:
			return contract.DrainResult{}, err
		case ended:
			return d.state.DrainResult, nil
		case d.isStopping():
			return contract.DrainResult{}, d.again(ctx, worker.ErrWorkerShutdown)
		}
	}
}

type drain struct {
	*Activities
	stops
	webhook hook.WebhookID
	began   time.Time
	state   drainState
	// waiting and changes are what the last look has seen.
	waiting int
	changes int64
	// share is what the jobs of a step have of the budget.
	share *share
}

// isOver reports whether the run is to begin nothing more.
func (d *drain) isOver() bool { return d.now().Sub(d.began) >= drainFor }

// goOn asks for the next run at once, where this one has worked for long enough; otherwise
// it returns nil.
func (d *drain) goOn(ctx context.Context) error {
	if !d.isOver() || d.isStopping() {
		return nil
	}
	return d.later(ctx, time.Millisecond, time.Time{}, fmt.Sprintf("%d deliveries waiting", d.waiting))
}

// step sends one batch, or one probe; the error asks for the next run.
func (d *drain) step(ctx context.Context) (ended bool, err error) {
	backlog, err := d.load(ctx)
	if err != nil {
		return false, err
	}
	d.waiting, d.changes = backlog.Waiting, backlog.Changes
	defer d.share.release()
	if backlog.Waiting == 0 {
		ended, err := d.parking.DrainEnds(ctx, d.webhook, d.changes)
		if err != nil {
			return false, d.again(ctx, err)
		}
		return ended, nil
	}
	if len(backlog.Jobs) == 0 { // the last of them have just ended
		if err := wait.For(ctx, worthWaiting); err != nil {
			return false, d.again(ctx, err)
		}
		return false, d.goOn(ctx)
	}
	if backlog.PausedAt != nil {
		d.state.Probes, d.state.ProbeAt, d.state.Batch = 0, time.Time{}, firstBatch/2
		return false, d.later(ctx, mostSleep, time.Time{}, fmt.Sprintf("%d deliveries waiting; paused by the client since %s",
			backlog.Waiting, backlog.PausedAt.UTC().Format(time.RFC3339)))
	}
	if backlog.TrippedAt != nil {
		return false, d.probe(ctx, &backlog)
	}
	if !d.state.ProbeAt.IsZero() { // it has answered somebody else
		d.state.Batch = firstBatch / 2
	}
	d.state.Probes, d.state.ProbeAt = 0, time.Time{}
	if wait := backlog.Jobs[0].DueIn; wait > worthWaiting {
		return false, d.later(ctx, min(wait, drainNap), dueAt(&backlog), fmt.Sprintf("%d deliveries have an attempt to come", backlog.Waiting))
	}
	began, batch := d.now(), mostBatch
	if d.state.Batch > 0 {
		d.state.Batch = min(d.state.Batch*2, mostBatch)
		batch = d.state.Batch
	}
	sent, err := d.send(ctx, due(backlog.Jobs, batch), d.state.Batch == 0)
	if err != nil {
		return false, err
	}
	if d.state.Batch == 0 || d.isOver() || d.isStopping() {
		return false, d.goOn(ctx)
	}
	return false, d.pace(ctx, began, sent.attempts)
}

// dueAt is when the first of the backlog is due.
func dueAt(b *hook.DeferredPage) time.Time { return *b.Jobs[0].Delivery.NextAttemptAt }

// due are the first n jobs that are due, or will be in a moment.
func due(jobs []hook.Job, n int) []hook.Job {
	jobs = jobs[:min(n, len(jobs))]
	for i := range jobs {
		if jobs[i].DueIn > worthWaiting {
			return jobs[:i]
		}
	}
	return jobs
}

// probe finds out whether the endpoint is back, when it is time to.
func (d *drain) probe(ctx context.Context, backlog *hook.DeferredPage) error {
	expired, err := d.parking.ExpireDeferred(ctx, d.webhook, hook.DeferredFor, mostBatch)
	if err != nil {
		return d.again(ctx, err)
	}
	if expired > 0 {
		d.state.Failed += expired
		d.state.FirstFailed = cmp.Or(d.state.FirstFailed, fmt.Sprintf("%s failed: %s", d.webhook, hook.TextUnavailable))
		return d.goOn(ctx) // and look again
	}
	d.keepProbe()
	why := fmt.Sprintf("%d deliveries waiting; endpoint unavailable for %s, %d probes", backlog.Waiting,
		rounded(d.now().Sub(*backlog.TrippedAt)), d.state.Probes)
	probeIn, dueIn := d.state.ProbeAt.Sub(d.now()), backlog.Jobs[0].DueIn
	switch {
	case dueIn > max(probeIn, worthWaiting):
		// There is nothing to probe with before that, unless something is parked.
		return d.later(ctx, dueIn, dueAt(backlog), why)
	case probeIn > worthWaiting:
		return d.later(ctx, probeIn, time.Time{}, why)
	}
	d.gates.reopen(d.webhook)
	sent, err := d.send(ctx, backlog.Jobs[:1], false)
	if err != nil {
		return err
	}
	if sent.answered == 0 { // otherwise its recording has closed the breaker
		d.state.Probes++
		d.state.ProbeAt = d.now().Add(d.probeDelay())
		return nil
	}
	d.state.Batch, d.state.ProbeAt = firstBatch/2, time.Time{}
	if err := d.parking.SetBreaker(ctx, d.webhook, false); err != nil {
		return d.again(ctx, err)
	}
	d.log.InfoContext(ctx, "endpoint available again", slog.String("webhook_id", d.webhook.String()), slog.Int("waiting", backlog.Waiting))
	return d.goOn(ctx)
}

// keepProbe sees to it that the next probe has a time, and that this is no further away
// than it can be: it may come from another worker, whose clock is another.
func (d *drain) keepProbe() {
	if d.state.ProbeAt.IsZero() || d.state.ProbeAt.Sub(d.now()) > mostDelay(d.state.Probes) {
		d.state.ProbeAt = d.now().Add(d.probeDelay())
	}
}

// mostDelay is the longest time to wait for the next probe after some in a row.
func mostDelay(probes int) time.Duration { return min(time.Second<<min(probes, 10), mostProbeDelay) }

// probeDelay is how long to wait for the next probe, up to a fifth less by chance.
func (d *drain) probeDelay() time.Duration {
	delay := mostDelay(d.state.Probes)
	return delay - d.jitter(delay/5)
}

// send makes the next attempts of some jobs, and, where it is to go on, of those
// behind them in the backlog. Where it can do nothing with them, it is no use to go on at once.
func (d *drain) send(ctx context.Context, jobs []hook.Job, goOn bool) (*run, error) {
	r := newRun(ctx, d.Activities, len(jobs))
	r.draining, r.share = true, d.share
	if goOn {
		r.backlog = newRefill(d, jobs)
	}
	defer d.share.release()
	if err := r.admit(ctx, jobs); err != nil {
		return nil, d.again(ctx, err)
	}
	err := r.loop(ctx)
	part := summarize(r.done)
	d.state.Succeeded += part.Succeeded
	d.state.Failed += part.Failed
	d.state.Canceled += part.Canceled
	d.state.FirstFailed = cmp.Or(d.state.FirstFailed, part.FirstFailed())
	switch {
	case errors.Is(err, errMemory):
		return nil, d.rest(ctx, d.memoryPause(), fmt.Sprintf("%d deliveries waiting for memory of the worker, which others use", len(jobs)))
	case err != nil:
		return nil, d.again(ctx, err)
	case r.attempts+len(r.done) == 0 && r.isStopping():
		return nil, d.again(ctx, worker.ErrWorkerShutdown)
	case r.attempts+len(r.done) == 0 && len(r.unreadable) > 0:
		return nil, d.rest(ctx, r.soonest(), hook.TextSecretUnavailable)
	case r.attempts+len(r.done) == 0:
		return nil, d.again(ctx, errHeld)
	}
	return r, nil
}

// pace keeps to the rate at which a backlog is sent.
func (d *drain) pace(ctx context.Context, began time.Time, sent int) error {
	if err := wait.For(ctx, time.Duration(sent)*time.Second/drainRate-d.now().Sub(began)); err != nil {
		return d.again(ctx, err)
	}
	return nil
}

// later asks for the next run in a while, for a reason that a person reads; until is when
// something is due, if that is the reason (hook.Nap). Where something has changed since the
// look, it returns nil, and the drain looks again.
func (d *drain) later(ctx context.Context, in time.Duration, until time.Time, why string) error {
	asleep, err := d.note(ctx, in, until)
	switch {
	case err != nil:
		in = min(in, drainNap) // what is parked, or changes, may not wake it
	case !asleep && !d.isOver():
		return nil
	case !asleep:
		in = min(in, stopRetry)
	}
	return comeBack(in, why)
}

// rest asks for the next run in a while, whatever changes: before that nothing can be done.
func (d *drain) rest(ctx context.Context, in time.Duration, why string) error {
	_, _ = d.note(ctx, in, time.Time{})
	return comeBack(in, why)
}

// comeBack asks Temporal for the next run of a drain or replay in a while, which it bounds.
func comeBack(in time.Duration, why string) error {
	in = min(max(in, time.Millisecond), mostSleep)
	return temporal.NewApplicationErrorWithOptions(fmt.Sprintf("%s; next in %s", why, rounded(in)), contract.ErrorOutstanding,
		temporal.ApplicationErrorOptions{NextRetryDelay: in, Category: temporal.ApplicationErrorCategoryBenign})
}

// again asks for the next run after a failure of ours.
func (d *drain) again(ctx context.Context, err error) error {
	_, _ = d.note(ctx, oursRetry+oursJitter, time.Time{}) // it comes back soon, whatever has changed
	return d.ours(ctx, "drain", err)
}

// note hands the state on, and says when the next run will be.
func (d *drain) note(ctx context.Context, in time.Duration, until time.Time) (asleep bool, err error) {
	activity.RecordHeartbeat(ctx, d.state)
	n := hook.Nap{In: min(in, mostSleep) + drainSlack, Changes: d.changes, Until: until}
	if !d.state.ProbeAt.IsZero() {
		probeIn := max(d.state.ProbeAt.Sub(d.now()), 0)
		n.ProbeIn = &probeIn
	}
	if asleep, err = d.parking.DrainSleeps(ctx, d.webhook, n); err != nil {
		d.log.DebugContext(ctx, "drain not noted", slog.String("webhook_id", d.webhook.String()), slog.Any("error", err))
	}
	return asleep, err
}
