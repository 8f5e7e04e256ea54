package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/hook"
)

// maxOutcomes bounds what is written for people into Temporal, which bounds the
// size of failures to 4 KiB.
const maxOutcomes = 20

// Outcome is where one delivery stands, as the Temporal Web UI shows it.
type Outcome struct {
	WebhookID  hook.WebhookID     `json:"webhook_id"`
	DeliveryID hook.DeliveryID    `json:"delivery_id"`
	State      hook.DeliveryState `json:"status"`
	Attempts   int                `json:"attempts"`
	StatusCode int                `json:"status_code,omitempty"`
	Error      string             `json:"error,omitempty"`
	NextAt     string             `json:"next_attempt_at,omitempty"`
	// Waiting is why it waits for its webhook; empty if it does not.
	Waiting hook.WaitReason `json:"waiting,omitempty"`
}

func outcomeOf(d *hook.Delivery) Outcome {
	o := Outcome{
		WebhookID: d.WebhookID, DeliveryID: d.ID, State: d.State, Attempts: d.Attempts,
		StatusCode: d.StatusCode, Error: d.Error,
	}
	switch {
	case d.NextAttemptAt == nil:
	case d.Waits != nil:
		o.Waiting = d.Waits.Reason
	default:
		o.NextAt = d.NextAttemptAt.UTC().Format(time.RFC3339)
	}
	return o
}

func outcomesOf(list []hook.Delivery) []Outcome {
	out := make([]Outcome, 0, min(len(list), maxOutcomes))
	for i := range list[:min(len(list), maxOutcomes)] {
		out = append(out, outcomeOf(&list[i]))
	}
	return out
}

// heartbeat shows the outstanding deliveries beside the pending activity.
func heartbeat(ctx context.Context, outstanding []hook.Delivery) {
	activity.RecordHeartbeat(ctx, outcomesOf(outstanding))
}

// retry asks Temporal for the next attempt in next. It is returned as it is:
// wrapped, it would lose the delay.
func retry(outstanding []hook.Delivery, total int, next time.Duration) error {
	first := &outstanding[0]
	text := fmt.Sprintf("%d of %d deliveries outstanding; %s %s, attempt %d; next in %v",
		len(outstanding), total, first.WebhookID, reasonOf(first), first.Attempts, rounded(next))
	return temporal.NewApplicationErrorWithOptions(text, ErrorOutstanding, temporal.ApplicationErrorOptions{
		NextRetryDelay: next, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// rounded drops what nobody reads: 29m59.996s is 30m0s.
func rounded(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

func reasonOf(d *hook.Delivery) string {
	if d.Error == "" {
		return "not sent yet"
	}
	return d.Error
}

// summarize counts what deliveries came to and shows the first of them, the
// failed ones before the others.
func summarize(list []hook.Delivery) DeliverResult {
	var r DeliverResult
	slices.SortStableFunc(list, func(a, b hook.Delivery) int { return rank(a.State, a.Outstanding()) - rank(b.State, b.Outstanding()) })
	for i := range list {
		if list[i].Outstanding() {
			r.Waiting++
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
	r.Outcomes = outcomesOf(list)
	return r
}

// FailedFirst sorts outcomes for a reader: deliveries that failed for good, then outstanding
// ones, then the others. Within each group the order stays.
func FailedFirst(list []Outcome) {
	slices.SortStableFunc(list, func(a, b Outcome) int { return rank(a.State, a.outstanding()) - rank(b.State, b.outstanding()) })
}

// outstanding reports whether an attempt was to come. Outcomes that older versions recorded have the
// time of the next attempt also where the delivery waits.
func (o *Outcome) outstanding() bool { return o.NextAt != "" || o.Waiting != "" }

// FirstFailed is the first outcome that is a failure for good, in a few words; empty if
// none is.
func (r *DeliverResult) FirstFailed() string {
	for i := range r.Outcomes {
		if o := &r.Outcomes[i]; rank(o.State, o.outstanding()) == 0 {
			return o.Text()
		}
	}
	return ""
}

func rank(s hook.DeliveryState, outstanding bool) int {
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

// Text is the outcome in a few words: hook_… failed: HTTP 500 Internal Server
// Error after 5 attempts.
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
