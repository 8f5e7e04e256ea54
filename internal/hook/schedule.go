package hook

import (
	"fmt"
	"slices"
	"time"
)

// MaxAttempts is the most attempts a delivery can have on its schedule.
const MaxAttempts = 5

// MaxRetryAfter is the longest delay that a receiver can ask for by Retry-After (spec 9).
const MaxRetryAfter = 24 * time.Hour

// Schedule has the delays before attempts 2, 3, and so on, each counted from the end of the attempt before. It alone
// decides when retries are due: storage derives next_attempt_at from it, and the activity's retry policy is fitted to
// it.
type Schedule []time.Duration

// DefaultSchedule returns the schedule of spec 1: the first attempt at once, then after 30 s, 5 min, 30 min and 2 h.
func DefaultSchedule() Schedule {
	return Schedule{30 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour}
}

// Validate refuses an empty or over-long schedule and delays that are not
// positive or get shorter.
func (s Schedule) Validate() error {
	if len(s) == 0 || len(s) > MaxAttempts-1 {
		return fmt.Errorf("retry schedule: want 1 to %d delays, got %d", MaxAttempts-1, len(s))
	}
	if s[0] <= 0 {
		return fmt.Errorf("retry schedule: delay %v is not positive", s[0])
	}
	if !slices.IsSorted(s) {
		return fmt.Errorf("retry schedule: delays must not get shorter: %v", []time.Duration(s))
	}
	return nil
}

// After returns the delay from the end of the given scheduled attempt, counted from 1, to the next one. It is false if
// there is none. maxAttempts is the webhook's own bound. retryAfter is the delay that the receiver asked for: it
// postpones the next attempt, but never advances it and adds none.
func (s Schedule) After(attempt, maxAttempts int, retryAfter time.Duration) (time.Duration, bool) {
	if attempt >= maxAttempts || attempt > len(s) {
		return 0, false
	}
	return max(s[attempt-1], min(retryAfter, MaxRetryAfter)), true
}
