package activities

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// drainState is the state that one run of the activity leaves to the next.
type drainState struct {
	contract.DrainResult
	// Probes counts the probes in a row without an answer. ProbeAt is the time of the next one.
	Probes  int       `json:"probes,omitempty"`
	ProbeAt time.Time `json:"probe_at,omitzero"`
	// Batch is the size of the last batch since the endpoint came back or the pause ended; 0
	// if there was neither.
	Batch int `json:"batch,omitempty"`
}

const (
	// drainFor is how long a run goes on beginning batches. The last batch may take as long as
	// the longest request.
	drainFor = 10 * time.Second
	// firstBatch and delivery.MaxBatch bound a batch, drainRate the deliveries per second. An
	// endpoint that has come back must not be buried: its batch begins at firstBatch and
	// doubles each time. Deliveries that were only over a limit keep to that limit.
	firstBatch = 4
	drainRate  = 200
	// maxProbeDelay is the longest time between two probes of an unavailable endpoint. The
	// first two are a second apart, and the time doubles.
	maxProbeDelay = maxSleep
	// maxIdleSleep is the longest sleep of a drain whose endpoint is available, or whose sleep
	// could not be noted.
	maxIdleSleep = 30 * time.Second
	// sleepSlack is added to the time at which a drain or a replay says it will look again.
	sleepSlack = contract.RunTimeout
	// betweenLooks is the pause before a drain looks again whose last deliveries have just
	// ended.
	betweenLooks = delivery.WorthWaiting
)

// Drain sends a webhook's deferred deliveries, at a bounded rate. While the webhook is held
// it sends nothing. While the endpoint is unavailable it sends one delivery at a time, ever
// more rarely, until one is answered; such a probe is an ordinary attempt of its delivery. As
// long as something is deferred it returns an error that asks for the next run.
func (a *Activities) Drain(ctx context.Context, in contract.DrainInput) (contract.DrainResult, error) {
	d := drain{acts: a, window: a.window(ctx), webhook: in.WebhookID, began: a.now()}
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
		case d.window.IsStopping():
			return contract.DrainResult{}, d.again(ctx, delivery.ErrStopping)
		}
	}
}

// drain is one run of the activity.
type drain struct {
	acts    *Activities
	window  delivery.Window
	webhook hook.WebhookID
	began   time.Time
	state   drainState
	// waiting and changes are those of the last page.
	waiting int
	changes int64
}

func (d *drain) now() time.Time { return d.acts.now() }

// isOver reports whether the run must begin no further batch.
func (d *drain) isOver() bool { return d.now().Sub(d.began) >= drainFor }

// goOn asks for the next run at once if this run has worked for long enough; otherwise it
// returns nil.
func (d *drain) goOn(ctx context.Context) error {
	if !d.isOver() || d.window.IsStopping() {
		return nil
	}
	return d.later(ctx, time.Millisecond, time.Time{}, fmt.Sprintf("%d deliveries waiting", d.waiting))
}

// step sends one batch or one probe. An error asks for the next run.
func (d *drain) step(ctx context.Context) (ended bool, err error) {
	page, err := d.load(ctx)
	if err != nil {
		return false, err
	}
	defer page.Release()
	d.waiting, d.changes = page.Waiting, page.Changes
	switch {
	case page.Waiting == 0:
		ended, err := d.acts.drainStore.DrainEnds(ctx, d.webhook, d.changes)
		if err != nil {
			return false, d.again(ctx, err)
		}
		return ended, nil
	case len(page.Jobs) == 0: // the last of them have just ended
		if err := wait.For(ctx, betweenLooks); err != nil {
			return false, d.again(ctx, err)
		}
		return false, d.goOn(ctx)
	case page.Held():
		d.state.Probes, d.state.ProbeAt, d.state.Batch = 0, time.Time{}, firstBatch/2
		return false, d.later(ctx, maxSleep, time.Time{}, fmt.Sprintf("%d deliveries waiting; %s", page.Waiting, heldText(&page.DeferredPage)))
	case page.TrippedAt != nil:
		return false, d.probe(ctx, &page)
	}
	return false, d.sendBatch(ctx, &page)
}

// heldText says why nothing is sent, for a person.
func heldText(p *hook.DeferredPage) string {
	if p.SuspendedAt != nil {
		return "the tenant is suspended since " + p.SuspendedAt.UTC().Format(time.RFC3339)
	}
	return "paused by the client since " + p.PausedAt.UTC().Format(time.RFC3339)
}

// load loads the deliveries that the next step may send, and no more: one for a probe.
func (d *drain) load(ctx context.Context) (delivery.Page, error) {
	limit := delivery.MaxBatch
	switch {
	case !d.state.ProbeAt.IsZero():
		limit = 1
	case d.state.Batch > 0:
		limit = min(2*d.state.Batch, delivery.MaxBatch)
	}
	page, err := d.acts.engine.LoadDeferred(ctx, d.window, d.webhook, limit)
	switch {
	case errors.Is(err, delivery.ErrMemory):
		_, _ = d.note(ctx, delivery.MaxRetryPause, time.Time{})
		return page, d.acts.memoryLater(limit)
	case err != nil:
		return page, d.again(ctx, err)
	}
	return page, nil
}

// sendBatch sends the deliveries of a page that are due, to a webhook that is available.
func (d *drain) sendBatch(ctx context.Context, page *delivery.Page) error {
	if !d.state.ProbeAt.IsZero() { // the endpoint has answered another request
		d.state.Batch = firstBatch / 2
	}
	d.state.Probes, d.state.ProbeAt = 0, time.Time{}
	if wait := page.Jobs[0].DueIn; wait > delivery.WorthWaiting {
		return d.later(ctx, min(wait, maxIdleSleep), dueAt(page), fmt.Sprintf("%d deliveries have an attempt to come", page.Waiting))
	}
	began, batch, refillUntil := d.now(), delivery.MaxBatch, d.began.Add(drainFor)
	if d.state.Batch > 0 {
		d.state.Batch = min(d.state.Batch*2, delivery.MaxBatch)
		batch, refillUntil = d.state.Batch, time.Time{}
	}
	report, err := d.acts.engine.SendDue(ctx, d.window, page, batch, refillUntil)
	if err := d.sent(ctx, &report, err); err != nil {
		return err
	}
	if d.state.Batch == 0 || d.isOver() || d.window.IsStopping() {
		return d.goOn(ctx)
	}
	return d.pace(ctx, began, report.Attempts)
}

// dueAt returns when the first delivery of the page is due.
func dueAt(p *delivery.Page) time.Time { return *p.Jobs[0].Delivery.NextAttemptAt }

// probe sends one delivery to an unavailable endpoint, if it is time to.
func (d *drain) probe(ctx context.Context, page *delivery.Page) error {
	expired, err := d.acts.drainStore.ExpireDeferred(ctx, d.webhook, hook.DeferredFor, delivery.MaxBatch)
	if err != nil {
		return d.again(ctx, err)
	}
	d.acts.engine.Dispatch(expired.Starts)
	if n := len(expired.Deliveries); n > 0 {
		d.state.Failed += n
		d.state.FirstFailed = cmp.Or(d.state.FirstFailed, fmt.Sprintf("%s failed: %s", d.webhook, hook.TextUnavailable))
		return d.goOn(ctx) // and look again
	}
	d.keepProbe()
	why := fmt.Sprintf("%d deliveries waiting; endpoint unavailable for %s, %d probes", page.Waiting,
		rounded(d.now().Sub(*page.TrippedAt)), d.state.Probes)
	probeIn, dueIn := d.state.ProbeAt.Sub(d.now()), page.Jobs[0].DueIn
	switch {
	case dueIn > max(probeIn, delivery.WorthWaiting):
		// There is no delivery to probe with before that, unless one more is deferred.
		return d.later(ctx, dueIn, dueAt(page), why)
	case probeIn > delivery.WorthWaiting:
		return d.later(ctx, probeIn, time.Time{}, why)
	}
	report, err := d.acts.engine.Probe(ctx, d.window, page)
	if err := d.sent(ctx, &report, err); err != nil {
		return err
	}
	if report.Answered == 0 { // otherwise the recording has closed the breaker
		d.state.Probes++
		d.state.ProbeAt = d.now().Add(d.probeDelay())
		return nil
	}
	d.state.Batch, d.state.ProbeAt = firstBatch/2, time.Time{}
	if err := d.acts.drainStore.SetBreaker(ctx, d.webhook, false); err != nil {
		return d.again(ctx, err)
	}
	d.acts.log.InfoContext(ctx, "endpoint available again", slog.String("webhook_id", d.webhook.String()), slog.Int("waiting", page.Waiting))
	return d.goOn(ctx)
}

// keepProbe makes sure that the next probe has a time, and that this is no further away than
// it can be: it may be from another worker, whose clock differs.
func (d *drain) keepProbe() {
	if d.state.ProbeAt.IsZero() || d.state.ProbeAt.Sub(d.now()) > longestDelay(d.state.Probes) {
		d.state.ProbeAt = d.now().Add(d.probeDelay())
	}
}

// longestDelay returns the longest time until the next probe after some in a row.
func longestDelay(probes int) time.Duration {
	return min(time.Second<<min(probes, 10), maxProbeDelay)
}

// probeDelay draws the time until the next probe: up to a fifth less than the longest.
func (d *drain) probeDelay() time.Duration {
	delay := longestDelay(d.state.Probes)
	return delay - d.acts.jitter(delay/5)
}

// sent counts the deliveries of a batch. If nothing could be sent, it returns an error that
// asks for the next run: going on at once would be of no use.
func (d *drain) sent(ctx context.Context, report *delivery.Report, err error) error {
	part := contract.Summarize(report.Deliveries)
	d.state.Succeeded += part.Succeeded
	d.state.Failed += part.Failed
	d.state.Canceled += part.Canceled
	d.state.FirstFailed = cmp.Or(d.state.FirstFailed, part.FirstFailed())
	switch {
	case err == nil:
		return nil
	case errors.Is(err, delivery.ErrMemory):
		return d.rest(ctx, d.acts.engine.RetryPause(), memoryText(len(report.Outstanding)))
	case errors.Is(err, delivery.ErrUnreadable):
		return d.rest(ctx, report.NextIn, hook.TextSecretUnavailable)
	}
	return d.again(ctx, err)
}

// pace waits as long as the rate of a drain requires after a batch.
func (d *drain) pace(ctx context.Context, began time.Time, sent int) error {
	if err := wait.For(ctx, time.Duration(sent)*time.Second/drainRate-d.now().Sub(began)); err != nil {
		return d.again(ctx, err)
	}
	return nil
}

// later asks for the next run after a delay, for a reason that a person reads. until is the
// time when something is due, if that is the reason (hook.Nap). If something has changed since
// the page was loaded, it returns nil, and the drain looks again.
func (d *drain) later(ctx context.Context, in time.Duration, until time.Time, why string) error {
	asleep, err := d.note(ctx, in, until)
	switch {
	case err != nil:
		in = min(in, maxIdleSleep) // a change may not wake it
	case !asleep && !d.isOver():
		return nil
	case !asleep:
		in = min(in, delivery.StopRetry)
	}
	return runAgain(in, why)
}

// rest asks for the next run after a delay, whatever changes: before that nothing can be done.
func (d *drain) rest(ctx context.Context, in time.Duration, why string) error {
	_, _ = d.note(ctx, in, time.Time{})
	return runAgain(in, why)
}

// again asks for the next run after a failure of Grapnel's own.
func (d *drain) again(ctx context.Context, err error) error {
	_, _ = d.note(ctx, delivery.MaxRetryPause, time.Time{}) // it runs again soon, whatever has changed
	return d.acts.ours(ctx, "drain", err)
}

// note hands the state on to the next run, and notes when that will be. asleep is false if
// something has changed since the page was loaded.
func (d *drain) note(ctx context.Context, in time.Duration, until time.Time) (asleep bool, err error) {
	activity.RecordHeartbeat(ctx, d.state)
	n := hook.Nap{In: min(in, maxSleep) + sleepSlack, Changes: d.changes, Until: until}
	if !d.state.ProbeAt.IsZero() {
		probeIn := max(d.state.ProbeAt.Sub(d.now()), 0)
		n.ProbeIn = &probeIn
	}
	if asleep, err = d.acts.drainStore.DrainSleeps(ctx, d.webhook, n); err != nil {
		d.acts.log.DebugContext(ctx, "drain not noted", slog.String("webhook_id", d.webhook.String()), slog.Any("error", err))
	}
	return asleep, err
}
