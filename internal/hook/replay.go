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

// TextNoWebhookLeft is the reason of a replay over several webhooks that was canceled because none of them can get
// anything any more.
const TextNoWebhookLeft = "No webhook left"

// MaxReplayIDs bounds the webhooks, and the deliveries, that a replay may name (A6).
const MaxReplayIDs = 1_000

// Replay sends events of the past to a webhook, or to several (A6). Each gets a new delivery for each of its webhooks,
// with all attempts.
type Replay struct {
	ID       ReplayID
	TenantID TenantID
	// WebhookID is the one webhook; zero if Many is true.
	WebhookID WebhookID
	// Many says that the replay is over several webhooks: WebhookIDs, or all of the tenant if that is nil. It leaves out
	// webhooks that are inactive or deleted, and goes on with the others.
	Many       bool
	WebhookIDs []WebhookID
	// DeliveryIDs are deliveries chosen one by one; nil if the replay has other conditions. Their events are sent to
	// their webhooks again, unless an attempt is to come.
	DeliveryIDs []DeliveryID
	Status      ReplayStatus
	// StatusClass, Class and Reference choose as those of a DeliverySearch do; the zero values do not narrow.
	StatusClass int
	Class       ErrorClass
	Reference   string
	// EventTypes are patterns that limit the events; empty is no limit.
	EventTypes []string
	// Since and Until bound the events' times, since <= t < until.
	Since, Until time.Time
	// Rate bounds the deliveries that the replay makes per second.
	Rate  int
	State ReplayState
	// Reason says why it was canceled, if no client canceled it.
	Reason string
	// Cursor is the last event that was looked at; for a replay over several webhooks that of the one furthest behind.
	Cursor EventID
	// Looked counts the events that were looked at, Created the deliveries that were made.
	Looked, Created int
	CreatedAt       time.Time
	UpdatedAt       time.Time
	EndedAt         *time.Time
}

// Ended reports whether the replay is completed or canceled.
func (r *Replay) Ended() bool { return r.EndedAt != nil }

// Takes reports whether the replay concerns events of the type from the cache, for one of its webhooks.
func (r *Replay) Takes(w *Webhook, cache, eventType string) bool {
	if len(r.EventTypes) > 0 && !Matches(r.EventTypes, eventType) {
		return false
	}
	return r.Status == ReplayFailed || w.Wants(cache, eventType)
}

// Searches reports whether the replay goes through deliveries that a search finds, and not through events. Then what a
// client has seen in a list is what is sent again.
func (r *Replay) Searches() bool {
	return r.Many && (r.DeliveryIDs != nil || r.Status == ReplayFailed || r.StatusClass > 0 || r.Class != ClassNone)
}

// Search returns the search that finds the replay's deliveries, without the times.
func (r *Replay) Search() DeliverySearch {
	if r.DeliveryIDs != nil {
		return DeliverySearch{IDs: r.DeliveryIDs}
	}
	final := true
	s := DeliverySearch{
		WebhookIDs: r.WebhookIDs, StatusClass: r.StatusClass, Class: r.Class, EventTypes: r.EventTypes, Reference: r.Reference,
		Undelivered: r.Status == ReplayFailed, Final: &final,
	}
	return s
}

// LeavesOut returns why the replay sends a webhook nothing; empty if it may send. A nil webhook is deleted.
func (r *Replay) LeavesOut(w *Webhook) LeftOut {
	switch {
	case w == nil:
		return LeftOutDeleted
	case !w.Active:
		return LeftOutInactive
	case w.Profile == ProfileMomento && (r.DeliveryIDs != nil || r.Status != ReplayMissing):
		return LeftOutAtMostOnce
	}
	return ""
}

// LeftOut says why a replay sends a webhook nothing.
type LeftOut string

// The values of LeftOut.
const (
	LeftOutDeleted    LeftOut = "deleted"
	LeftOutInactive   LeftOut = "inactive"
	LeftOutAtMostOnce LeftOut = "at_most_once" // a message is never sent twice
)

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
	// Again says that the step has changed how the replay goes on, or has found nothing yet: the next one comes at once.
	Again bool
	// Full says that none was made, because too many of the replay's deliveries are queued already.
	Full bool
	// Exhausted says that there is no event left to look at.
	Exhausted bool
	// Progress is set if no event is left, or if the replay has ended.
	Progress ReplayProgress
	// Undrained are the webhooks that got a delivery and for which no drain runs.
	Undrained []WebhookID
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
	// Webhooks has the number of each webhook that would get some.
	Webhooks map[WebhookID]int
}

// ReplayWebhook is the state of one of the webhooks of a replay over several.
type ReplayWebhook struct {
	WebhookID WebhookID
	ReplayProgress
	// Behind says that the webhook's deliveries were not sent as fast as the others', so that it is replayed apart from
	// them.
	Behind bool
	// LeftOut says why it gets nothing now; empty if it may get something.
	LeftOut LeftOut
}
