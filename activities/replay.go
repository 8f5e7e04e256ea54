package activities

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/contract"
	"grapnel/internal/delivery"
	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Replays is the store of replays.
type Replays interface {
	// ReplayStep looks at the next events of a replay and makes deliveries: at most as many as
	// its rate allows in a second, of which made were made before.
	ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error)
	// ReplaySleeps notes when the replay will look again, so that a lost one is noticed. It
	// returns false if the replay was changed since the step that returned changes.
	ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration, changes int64) (bool, error)
}

const (
	// replayFor is how long a run goes on.
	replayFor = 10 * time.Second
	// replayLook is the time between two looks of a replay at its outstanding deliveries,
	// replayIdle that of a replay whose deliveries are mostly deferred.
	replayLook = 2 * time.Second
	replayIdle = 30 * time.Second
	// maxReplayPause is the longest sleep of a paused replay; a change wakes it.
	maxReplayPause = maxSleep
)

// Replay makes a replay's deliveries at its rate; the webhook's drain sends them. It returns
// when all of them have ended, and until then an error that asks for the next run. Its
// progress is in the store, so a run that is lost costs nothing.
func (a *Activities) Replay(ctx context.Context, in contract.ReplayInput) (contract.ReplayResult, error) {
	r := replay{acts: a, window: a.window(ctx), id: in.ReplayID, began: a.now()}
	return inSteps(r.window, func() (contract.ReplayResult, bool, error) { return r.step(ctx) },
		func() error { return r.again(ctx, delivery.ErrStopping) })
}

// replay is one run of the activity.
type replay struct {
	acts   *Activities
	window delivery.Window
	id     hook.ReplayID
	began  time.Time
	// changes is the replay's count of changes at the last step.
	changes int64
}

// step does the work of one second. An error asks for the next run.
func (r *replay) step(ctx context.Context) (result contract.ReplayResult, ended bool, err error) {
	second := r.acts.now()
	step, err := r.acts.replaySecond(ctx, r.id)
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
		if err := wait.For(ctx, time.Second-r.acts.now().Sub(second)); err != nil {
			return result, false, r.again(ctx, err)
		}
		if r.acts.now().Sub(r.began) < replayFor || r.window.IsStopping() {
			return result, false, nil
		}
		in = time.Millisecond // it has worked for long enough: another activity may have its place
	}
	activity.RecordHeartbeat(ctx, replayBeat{Scanned: step.Replay.Looked, Deliveries: step.Replay.Created})
	text := fmt.Sprintf("%d events looked at, %d deliveries made%s", step.Replay.Looked, step.Replay.Created, why)
	return result, false, r.later(ctx, in, text)
}

// replayBeat is the heartbeat, for a person.
type replayBeat struct {
	Scanned    int `json:"scanned"`
	Deliveries int `json:"deliveries"`
}

// replaySecond makes the deliveries of one second, or as many as there are. It returns the
// last step.
func (a *Activities) replaySecond(ctx context.Context, id hook.ReplayID) (step hook.ReplayStep, err error) {
	began := a.now()
	for made := 0; ; made += step.Created {
		if step, err = a.replays.ReplayStep(ctx, id, made); err != nil {
			return step, err
		}
		for _, webhook := range step.Undrained {
			if a.now().Sub(began) > time.Second {
				break // of hundreds of webhooks, the sweeper starts some drains later
			}
			if err := a.drains.Drain(ctx, webhook); err != nil { // as above
				a.log.WarnContext(ctx, "drain not started", slog.String("webhook_id", webhook.String()), slog.Any("error", err))
			}
		}
		over := a.now().Sub(began) > time.Second || made+step.Created >= step.Replay.Rate
		if over || step.Exhausted || step.Looked == 0 && !step.Again {
			return step, nil
		}
	}
}

// resting returns how long a replay has nothing to do, and why; 0 while there are events to
// look at.
func resting(step *hook.ReplayStep) (in time.Duration, why string) {
	switch {
	case step.Replay.State == hook.ReplayPaused:
		return maxReplayPause, "; paused by the client"
	case step.Full:
		return replayLook, "; the next ones wait for these to be sent"
	case step.Exhausted && step.Progress.Outstanding > step.Replay.Rate:
		return replayIdle, fmt.Sprintf(", %d outstanding", step.Progress.Outstanding)
	case step.Exhausted:
		return replayLook, fmt.Sprintf(", %d outstanding", step.Progress.Outstanding)
	case step.Looked == 0 && !step.Again:
		return replayLook, "; the last seconds come last"
	}
	return 0, ""
}

// later asks for the next run after a delay, for a reason that a person reads. If the replay
// was changed since the step, it returns nil, and the replay goes on.
func (r *replay) later(ctx context.Context, in time.Duration, why string) error {
	asleep, err := r.note(ctx, in)
	switch {
	case err != nil:
		in = min(in, replayIdle) // a change may not wake it
	case !asleep && r.acts.now().Sub(r.began) < replayFor:
		return nil
	case !asleep:
		in = min(in, delivery.StopRetry)
	}
	return runAgain(in, why)
}

// again asks for the next run after a failure of Grapnel's own.
func (r *replay) again(ctx context.Context, err error) error {
	_, _ = r.note(ctx, delivery.MaxRetryPause) // it runs again soon, whatever has changed
	return r.acts.ours(ctx, "replay", err)
}

// note notes when the next run will be. asleep is false if the replay was changed since the
// step.
func (r *replay) note(ctx context.Context, in time.Duration) (asleep bool, err error) {
	if asleep, err = r.acts.replays.ReplaySleeps(ctx, r.id, in+sleepSlack, r.changes); err != nil {
		r.acts.log.DebugContext(ctx, "replay not noted", slog.String("replay_id", r.id.String()), slog.Any("error", err))
	}
	return asleep, err
}
