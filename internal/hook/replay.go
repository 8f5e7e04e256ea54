package hook

import "time"

// ReplayStatus selects the events that a replay sends again, by the state of their earlier deliveries to the webhook.
type ReplayStatus string

// The values of ReplayStatus. None selects an event with an outstanding delivery, which would be sent twice.
const (
	ReplayFailed  ReplayStatus = "failed"  // events with deliveries, none of them successful
	ReplayMissing ReplayStatus = "missing" // events that match the subscriptions and never had a delivery
	ReplayAll     ReplayStatus = "all"     // events that match the subscriptions
)

// ReplayState is the state of a replay. A CHECK constraint in the database has the same words.
type ReplayState string

// The states of a replay.
const (
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayCompleted ReplayState = "completed" // all of its deliveries are final
	ReplayCanceled  ReplayState = "canceled"
)

// The default and the bound of the deliveries that a replay makes per second.
const (
	DefaultReplayRate = 100
	MaxReplayRate     = 1000
)

// TextReplayCanceled is the error of a canceled replay's deliveries.
const TextReplayCanceled = "Replay canceled"

// Replay sends events of the past to a webhook. Each gets a new delivery, with all attempts.
type Replay struct {
	ID        ReplayID
	TenantID  TenantID
	WebhookID WebhookID
	Status    ReplayStatus
	// EventTypes are patterns that limit the events; empty is no limit.
	EventTypes []string
	// Since and Until bound the events' times, since <= t < until.
	Since, Until time.Time
	// Rate bounds the deliveries that the replay makes per second.
	Rate  int
	State ReplayState
	// Reason says why it was canceled, if no client canceled it.
	Reason string
	// Cursor is the last event that was looked at.
	Cursor EventID
	// Looked counts the events that were looked at, Created the deliveries that were made.
	Looked, Created int
	CreatedAt       time.Time
	UpdatedAt       time.Time
	EndedAt         *time.Time
}

// Ended reports whether the replay is completed or canceled.
func (r *Replay) Ended() bool { return r.EndedAt != nil }

// Takes reports whether the replay concerns events of the type, for its webhook.
func (r *Replay) Takes(w *Webhook, eventType string) bool {
	if len(r.EventTypes) > 0 && !Matches(r.EventTypes, eventType) {
		return false
	}
	return r.Status == ReplayFailed || w.Wants(w.Cache, eventType)
}

// Past describes an event's earlier deliveries to a webhook.
type Past struct {
	// Deliveries counts them, without tests.
	Deliveries int
	// Succeeded says that one of them succeeded, Outstanding that one is outstanding.
	Succeeded, Outstanding bool
	// Replayed says that one of them was made by this replay.
	Replayed bool
}

// Chooses reports whether an event with these earlier deliveries is sent again.
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

// ReplayStep is the result of one step of a replay.
type ReplayStep struct {
	Replay Replay
	// Looked counts the events that this step looked at, Created the deliveries that it
	// made.
	Looked, Created int
	// Full says that none was made, because too many of the replay's deliveries are queued already.
	Full bool
	// Exhausted says that there is no event left to look at.
	Exhausted bool
	// Progress is set if no event is left, or if the replay has ended.
	Progress ReplayProgress
	// Undrained says that no drain runs for the webhook.
	Undrained bool
	// Changes is how often the replay had been changed at this step.
	Changes int64
}

// ReplayProgress counts a replay's deliveries by state.
type ReplayProgress struct {
	Succeeded, Failed, Canceled, Outstanding int
}

// Estimate is the number of events that a replay would send if it began now.
type Estimate struct {
	Events int
	// Complete says that all were counted. Otherwise there may be more.
	Complete bool
}
