package contract

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// Outcome is the state of one delivery, as the Temporal Web UI shows it.
type Outcome struct {
	WebhookID  hook.WebhookID     `json:"webhook_id"`
	DeliveryID hook.DeliveryID    `json:"delivery_id"`
	State      hook.DeliveryState `json:"status"`
	Attempts   int                `json:"attempts"`
	StatusCode int                `json:"status_code,omitempty"`
	Error      string             `json:"error,omitempty"`
	NextAt     string             `json:"next_attempt_at,omitempty"`
	// Deferred is the reason why the delivery waits for its webhook; empty if it does not.
	Deferred hook.WaitReason `json:"waiting,omitempty"`
}

// OutcomeOf returns the outcome of a delivery.
func OutcomeOf(d *hook.Delivery) Outcome {
	o := Outcome{
		WebhookID: d.WebhookID, DeliveryID: d.ID, State: d.State, Attempts: d.Attempts,
		StatusCode: d.StatusCode, Error: d.Error,
	}
	switch {
	case d.NextAttemptAt == nil:
	case d.Waits != nil:
		o.Deferred = d.Waits.Reason
	default:
		o.NextAt = d.NextAttemptAt.UTC().Format(time.RFC3339)
	}
	return o
}

// Text returns the outcome in a few words: hook_… failed: HTTP 500 Internal Server Error
// after 5 attempts.
func (o Outcome) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", o.WebhookID, o.State)
	if o.Error != "" {
		b.WriteString(": " + o.Error)
	}
	noun := "attempts"
	if o.Attempts == 1 {
		noun = "attempt"
	}
	fmt.Fprintf(&b, " after %d %s", o.Attempts, noun)
	return b.String()
}

// outstanding reports whether an attempt was to come. Outcomes that older versions recorded
// have the time of the next attempt also where the delivery is deferred.
func (o *Outcome) outstanding() bool { return o.NextAt != "" || o.Deferred != "" }

// FailedFirst sorts outcomes for a reader: deliveries that failed for good, then outstanding
// ones, then canceled ones, then the others. Within each group the order stays.
func FailedFirst(list []Outcome) {
	slices.SortStableFunc(list, func(a, b Outcome) int { return Rank(a.State, a.outstanding()) - Rank(b.State, b.outstanding()) })
}

// FirstFailed returns the text of the first outcome that failed for good; empty if none did.
func (r *DeliverResult) FirstFailed() string {
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; Rank(o.State, o.outstanding()) == 0 {
			return o.Text()
		}
	}
	return ""
}

// Rank returns the place of a delivery in a list for a reader; 0, the first, means that it
// failed for good.
func Rank(s hook.DeliveryState, outstanding bool) int {
	if outstanding {
		return 1
	}
	switch s {
	case hook.StateSuccess:
		return 3
	case hook.StateCanceled:
		return 2
	case hook.StateFailed, hook.StateTimedOut, hook.StateDropped, hook.StatePending, hook.StateSending:
	}
	return 0
}

// maxOutcomes bounds the outcomes in a heartbeat or result: Temporal bounds the size of
// failures to 4 KiB.
const maxOutcomes = 20

// OutcomesOf returns the outcomes of the first deliveries.
func OutcomesOf(list []hook.Delivery) []Outcome {
	out := make([]Outcome, 0, min(len(list), maxOutcomes))
	for i := range list[:min(len(list), maxOutcomes)] {
		out = append(out, OutcomeOf(&list[i]))
	}
	return out
}

// Summarize counts deliveries by their state and shows the first of them, failed ones before
// the others. It sorts the list.
func Summarize(list []hook.Delivery) DeliverResult {
	var r DeliverResult
	slices.SortStableFunc(list, func(a, b hook.Delivery) int {
		return Rank(a.State, a.Outstanding()) - Rank(b.State, b.Outstanding())
	})
	for i := range list {
		if list[i].Outstanding() {
			r.Deferred++
			continue
		}
		switch list[i].State {
		case hook.StateSuccess:
			r.Succeeded++
		case hook.StateCanceled:
			r.Canceled++
		case hook.StateFailed, hook.StateTimedOut, hook.StateDropped, hook.StatePending, hook.StateSending:
			r.Failed++
		}
	}
	r.Outcomes = OutcomesOf(list)
	return r
}
