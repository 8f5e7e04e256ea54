package egress

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// retryAfter returns how long the receiver asks to wait; 0 if it does not ask, or the header is
// invalid. A date counts from the answer's own Date if there
// is one, so that the receiver's clock may be wrong. The result is at most hook.MaxRetryAfter,
// because a longer wait has no effect.
func retryAfter(resp *http.Response, now time.Time) time.Duration {
	if resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	value := strings.TrimSpace(resp.Header.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 64)
		if err != nil || seconds > int64(hook.MaxRetryAfter/time.Second) {
			return hook.MaxRetryAfter // text of only digits fails to parse only if the number is too large
		}
		return time.Duration(seconds) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		now = date
	}
	return min(max(at.Sub(now), 0), hook.MaxRetryAfter)
}
