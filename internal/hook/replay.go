package hook

import "time"

// ReplayStatus says which events a replay sends again, by what became of them at the
// webhook.
type ReplayStatus string

// The choices of a replay. None takes what has an attempt to come: it is not to be sent
// twice.
const (
	ReplayFailed  ReplayStatus = "failed"  // had deliveries, and no successful one
	ReplayMissing ReplayStatus = "missing" // match its subscriptions, and never had one
	ReplayAll     ReplayStatus = "all"     // match its subscriptions
)

// ReplayState is where a replay stands; the same words are a CHECK constraint in the
// database.
type ReplayState string

// The states of a replay.
const (
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayCompleted ReplayState = "completed" // all of its deliveries have ended
	ReplayCanceled  ReplayState = "canceled"
)

// Bounds and default of how many deliveries a replay makes per second.
const (
	DefaultReplayRate = 100
	MaxReplayRate     = 1000
)

// TextReplayCanceled ends the deliveries of a replay that was canceled.
const TextReplayCanceled = "Replay canceled"

// Replay sends events of the past to a webhook: each gets a delivery of its own, with
// all attempts.
type Replay struct {
	ID        ReplayID
	TenantID  TenantID
	WebhookID WebhookID
	Status    ReplayStatus
	// EventTypes narrow it to what one of these patterns matches; empty does not.
	EventTypes []string
	// Since and Until bound the events' times, since <= t < until.
	Since, Until time.Time
	// Rate is how many deliveries it makes per second at most.
	Rate  int
	State ReplayState
	// Reason says why it was canceled, where nobody asked for it.
	Reason string
	// Cursor is the last event that was looked at.
	Cursor EventID
	// Looked counts the events that were, Created those that got a delivery.
	Looked, Created int
	CreatedAt       time.Time
	UpdatedAt       time.Time
	EndedAt         *time.Time
}

// Ended reports whether nothing more will come of it.
func (r *Replay) Ended() bool { return r.EndedAt != nil }

// Takes reports whether the replay is about events of the type, at a webhook.
func (r *Replay) Takes(w *Webhook, eventType string) bool {
	if len(r.EventTypes) > 0 && !Matches(r.EventTypes, eventType) {
		return false
	}
	return r.Status == ReplayFailed || w.Wants(w.Cache, eventType)
}

// Past is what became of an event at a webhook.
type Past struct {
	// Deliveries counts them, tests left out.
	Deliveries int
	// Succeeded says that one of them did; Outstanding that one has an attempt to come.
	Succeeded, Outstanding bool
	// Replayed says that one of them is this replay's.
	Replayed bool
}

// Chooses reports whether an event of that past is sent again.
func (s ReplayStatus) Chooses(p Past) bool {
	if p.Replayed {
		return false
	}
	switch s {
	case ReplayFailed:
		return p.Deliveries > 0 && !p.Succeeded && !p.Outstanding
	case ReplayMissing:
		return p.Deliveries == 0
	case ReplayAll:
		return !p.Outstanding
	}
	return false
}

// ReplayStep is what came of one step of a replay.
type ReplayStep struct {
	Replay Replay
	// Looked counts the events that this step looked at, Created the deliveries that it
	// made.
	Looked, Created int
	// Full says that so many of them wait already that none was made.
	Full bool
	// Exhausted says that there is no event left to look at.
	Exhausted bool
	// Progress is filled in when there is none, or the replay has ended.
	Progress ReplayProgress
	// Undrained says that no drain sends them yet.
	Undrained bool
	// Changes is how often the replay was changed until this step.
	Changes int64
}

// ReplayProgress counts what became of a replay's deliveries.
type ReplayProgress struct {
	Succeeded, Failed, Canceled, Outstanding int
}

// Estimate is how many events a replay would send, were it begun now.
type Estimate struct {
	Events int
	// Complete says that all were counted; otherwise there may be more.
	Complete bool
}
