package activities

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"grapnel/internal/hook"
)

// Replays keeps replays, and makes their deliveries.
type Replays interface {
	// ReplayStep looks at the next events of a replay, and makes deliveries, at most as many
	// as its rate leaves in a second in which made were made before.
	ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error)
	// ReplaySleeps says when the replay will look again, so that a lost one is noticed.
	ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration) error
}

// ReplayInput names the replay.
type ReplayInput struct {
	ReplayID hook.ReplayID `json:"replay_id"`
}

// ReplayResult is what a replay came to.
type ReplayResult struct {
	// State is completed or canceled, Reason why the latter, where nobody asked for it.
	State  hook.ReplayState `json:"state"`
	Reason string           `json:"reason,omitempty"`
	// Events counts those that were looked at, Deliveries those that were made.
	Events     int `json:"events"`
	Deliveries int `json:"deliveries"`
	Succeeded  int `json:"succeeded"`
	Failed     int `json:"failed"`
	Canceled   int `json:"canceled"`
}

const (
	// replayFor is how long a run goes on.
	replayFor = 10 * time.Second
	// replayLook is how often a replay whose deliveries are under way looks how they are;
	// replayIdle, where most of them wait.
	replayLook = 2 * time.Second
	replayIdle = 30 * time.Second
	// mostReplayPause is the longest sleep of a paused one; a change wakes it.
	mostReplayPause = 5 * time.Minute
)

// Replay makes a replay's deliveries, at its rate, and returns when all of them have
// ended; the webhook's drain sends them. It returns an error that asks for the next run
// until then. What it has done is in the store, so a run that is lost costs nothing.
func (a *Activities) Replay(ctx context.Context, in ReplayInput) (ReplayResult, error) {
	began := a.now()
	for {
		second := a.now()
		step, err := a.replaySecond(ctx, in.ReplayID)
		r := &step.Replay
		switch {
		case hook.KindOf(err) == hook.KindNotFound:
			return ReplayResult{State: hook.ReplayCanceled, Reason: "it is not there any more"}, nil
		case err != nil:
			return ReplayResult{}, a.replayLater(ctx, in.ReplayID, oursRetry+oursJitter, a.ours(ctx, "replay", err))
		case r.Ended():
			return ReplayResult{
				State: r.State, Reason: r.Reason, Events: r.Looked, Deliveries: r.Created,
				Succeeded: step.Progress.Succeeded, Failed: step.Progress.Failed, Canceled: step.Progress.Canceled,
			}, nil
		}
		in, why := resting(&step)
		if in == 0 {
			if err := wait(ctx, time.Second-a.now().Sub(second)); err != nil {
				return ReplayResult{}, a.replayLater(ctx, r.ID, oursRetry+oursJitter, a.ours(ctx, "replay", err))
			}
			if a.now().Sub(began) < replayFor && !a.isStopped() {
				continue
			}
			in = time.Millisecond
		}
		activity.RecordHeartbeat(ctx, replayBeat{Events: r.Looked, Deliveries: r.Created})
		return ReplayResult{}, a.replayLater(ctx, r.ID, in, comeBack(in, fmt.Sprintf("%d events looked at, %d deliveries made%s", r.Looked, r.Created, why)))
	}
}

// replayBeat is for the person who looks at it.
type replayBeat struct {
	Events     int `json:"events"`
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

// replayLater says when the next run will be.
func (a *Activities) replayLater(ctx context.Context, id hook.ReplayID, in time.Duration, asks error) error {
	if err := a.replays.ReplaySleeps(ctx, id, in+drainSlack); err != nil {
		a.log.DebugContext(ctx, "replay not noted", slog.String("replay_id", id.String()), slog.Any("error", err))
	}
	return asks
}
