package activities

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// heartbeat shows the outstanding deliveries beside the pending activity.
func heartbeat(ctx context.Context, outstanding []hook.Delivery) {
	activity.RecordHeartbeat(ctx, contract.OutcomesOf(outstanding))
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
