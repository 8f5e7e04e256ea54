package activities

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// maxOutcomes bounds the outcomes in a heartbeat or result: Temporal bounds the size of
// failures to 4 KiB.
const maxOutcomes = 20

func outcomesOf(list []hook.Delivery) []contract.Outcome {
	out := make([]contract.Outcome, 0, min(len(list), maxOutcomes))
	for i := range list[:min(len(list), maxOutcomes)] {
		out = append(out, contract.OutcomeOf(&list[i]))
	}
	return out
}

// heartbeat shows the outstanding deliveries beside the pending activity.
func heartbeat(ctx context.Context, outstanding []hook.Delivery) {
	activity.RecordHeartbeat(ctx, outcomesOf(outstanding))
}

// outstandingError asks Temporal for the next run after a delay. It must be returned as it is:
// wrapped, it would lose the delay.
func outstandingError(outstanding []hook.Delivery, total int, next time.Duration) error {
	first := &outstanding[0]
	text := fmt.Sprintf("%d of %d deliveries outstanding; %s %s, attempt %d; next in %v",
		len(outstanding), total, first.WebhookID, reasonOf(first), first.Attempts, rounded(next))
	return temporal.NewApplicationErrorWithOptions(text, contract.ErrorOutstanding, temporal.ApplicationErrorOptions{
		NextRetryDelay: next, Category: temporal.ApplicationErrorCategoryBenign,
	})
}

// rounded drops digits that no person reads: 29m59.996s becomes 30m0s.
func rounded(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}

// reasonOf says why a delivery is outstanding, for a person.
func reasonOf(d *hook.Delivery) string {
	if d.Error == "" {
		return "not sent yet"
	}
	return d.Error
}

// summarize counts deliveries by their state and shows the first of them, failed ones before
// the others.
func summarize(list []hook.Delivery) contract.DeliverResult {
	var r contract.DeliverResult
	slices.SortStableFunc(list, func(a, b hook.Delivery) int {
		return contract.Rank(a.State, a.Outstanding()) - contract.Rank(b.State, b.Outstanding())
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
	r.Outcomes = outcomesOf(list)
	return r
}
