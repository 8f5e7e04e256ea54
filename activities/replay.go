package activities

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/worker"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Replays keeps replays, and makes their deliveries.
type Replays interface {
	// ReplayStep looks at the next events of a replay, and makes deliveries, at most as many
	// as its rate leaves in a second in which made were made before.
	ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error)
	// ReplaySleeps notes when the replay will look again, so that a lost one is noticed, or
	// returns false: it was changed since the step that returned changes.
	ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration, changes int64) (bool, error)
}

const (
	// replayFor is how long a run goes on.
	replayFor = 10 * time.Second
	// replayLook is how often a replay whose deliveries are under way looks how they are;
	// replayIdle, where most of them wait.
	replayLook = 2 * time.Second
	replayIdle = 30 * time.Second
	// mostReplayPause is the longest sleep of a paused one; a change wakes it.
	mostReplayPause = mostSleep
)

// Replay makes a replay's deliveries, at its rate, and returns when all of them have
// ended; the webhook's drain sends them. It returns an error that asks for the next run
// until then. What it has done is in the store, so a run that is lost costs nothing.
func (a *Activities) Replay(ctx context.Context, in contract.ReplayInput) (contract.ReplayResult, error) {
	r := replay{Activities: a, stops: a.stops(ctx), id: in.ReplayID, began: a.now()}
	for {
		result, ended, err := r.step(ctx)
		switch {
		case err != nil || ended:
			return result, err
		case r.isStopping():
			return contract.ReplayResult{}, r.again(ctx, worker.ErrWorkerShutdown)
		}
	}
}

// replay is one run of the activity.
type replay struct {
	*Activities
	stops
	id    hook.ReplayID
	began time.Time
	// changes is what the last step has seen.
	changes int64
}

// step does the work of a second; the error asks for the next run.
func (r *replay) step(ctx context.Context) (result contract.ReplayResult, ended bool, err error) {
	second := r.now()
	step, err := r.replaySecond(ctx, r.id)
	switch {
	case hook.KindOf(err) == hook.KindNotFound:
		return contract.ReplayResult{State: hook.ReplayCanceled, Reason: "it is not there any more"}, true, nil
	case err != nil:
		return result, false, r.again(ctx, err)
	case step.Replay.Ended():
		return contract.ReplayResult{
			State: step.Replay.State, Reason: step.Replay.Reason, Scanned: step.Replay.Looked, Deliveries: step.Replay.Created,
			Succeeded: step.Progress.Succeeded, Failed: step.Progress.Failed, Canceled: step.Progress.Canceled,
		}, true, nil
	}
	r.changes = step.Changes
	in, why := resting(&step)
	if in == 0 {
		if err := wait.For(ctx, time.Second-r.now().Sub(second)); err != nil {
			return result, false, r.again(ctx, err)
		}
		if r.now().Sub(r.began) < replayFor || r.isStopping() {
			return result, false, nil
		}
		in = time.Millisecond // it has worked for long enough to give up its place for a moment
	}
	activity.RecordHeartbeat(ctx, replayBeat{Scanned: step.Replay.Looked, Deliveries: step.Replay.Created})
	return result, false, r.later(ctx, in, fmt.Sprintf("%d events looked at, %d deliveries made%s", step.Replay.Looked, step.Replay.Created, why))
}

// replayBeat is for the person who looks at it.
type replayBeat struct {
	Scanned    int `json:"scanned"`
	Deliveries int `json:"deliveries"`
}

// replaySecond makes the deliveries of a second, or as many as there are; it returns the
// last step.
func (a *Activities) replaySecond(ctx context.Context, id hook.ReplayID) (step hook.ReplayStep, err error) {
	began := a.now()
	for made := 0; ; made += step.Created {
		if step, err = a.replays.ReplayStep(ctx, id, made); err != nil {
			return step, err
		}
		if step.Undrained {
			if err := a.drains.Drain(ctx, step.Replay.WebhookID); err != nil { // the sweeper will
				a.log.WarnContext(ctx, "drain not started", slog.String("webhook_id", step.Replay.WebhookID.String()), slog.Any("error", err))
			}
		}
		if step.Looked == 0 || step.Exhausted || made+step.Created >= step.Replay.Rate || a.now().Sub(began) > time.Second {
			return step, nil
		}
	}
}

// resting says how long a replay has nothing to do, and why; 0 while there is more to
// look at.
func resting(step *hook.ReplayStep) (in time.Duration, why string) {
	switch {
	case step.Replay.State == hook.ReplayPaused:
		return mostReplayPause, "; paused by the client"
	case step.Full:
		return replayLook, "; the next ones wait for these to be sent"
	case step.Exhausted && step.Progress.Outstanding > step.Replay.Rate:
		return replayIdle, fmt.Sprintf(", %d outstanding", step.Progress.Outstanding)
	case step.Exhausted:
		return replayLook, fmt.Sprintf(", %d outstanding", step.Progress.Outstanding)
	case step.Looked == 0:
		return replayLook, "; the last seconds come last"
	}
	return 0, ""
}

// later asks for the next run in a while, for a reason that a person reads; where the
// replay was changed since the step, it returns nil, and the replay goes on.
func (r *replay) later(ctx context.Context, in time.Duration, why string) error {
	asleep, err := r.note(ctx, in)
	switch {
	case err != nil:
		in = min(in, replayIdle) // what changes may not wake it
	case !asleep && r.now().Sub(r.began) < replayFor:
		return nil
	case !asleep:
		in = min(in, stopRetry)
	}
	return comeBack(in, why)
}

// again asks for the next run after a failure of ours.
func (r *replay) again(ctx context.Context, err error) error {
	_, _ = r.note(ctx, oursRetry+oursJitter) // it comes back soon, whatever has changed
	return r.ours(ctx, "replay", err)
}

// note says when the next run will be.
func (r *replay) note(ctx context.Context, in time.Duration) (asleep bool, err error) {
	if asleep, err = r.replays.ReplaySleeps(ctx, r.id, in+drainSlack, r.changes); err != nil {
		r.log.DebugContext(ctx, "replay not noted", slog.String("replay_id", r.id.String()), slog.Any("error", err))
	}
	return asleep, err
}
