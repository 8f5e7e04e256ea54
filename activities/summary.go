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

// maxOutcomes bounds what is written for people into Temporal, which bounds the
// size of failures to 4 KiB.
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

// retry asks Temporal for the next attempt in next. It is returned as it is:
// wrapped, it would lose the delay.
func retry(outstanding []hook.Delivery, total int, next time.Duration) error {
	first := &outstanding[0]
	text := fmt.Sprintf("%d of %d deliveries outstanding; %s %s, attempt %d; next in %v",
		len(outstanding), total, first.WebhookID, reasonOf(first), first.Attempts, rounded(next))
	return temporal.NewApplicationErrorWithOptions(text, contract.ErrorOutstanding, temporal.ApplicationErrorOptions{
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
