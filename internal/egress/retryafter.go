package egress

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"grapnel/internal/hook"
)

// retryAfter is how long the receiver asks to wait; 0 if it does not, or says so
// in a way nobody can read. A date counts from the answer's own Date where there
// is one, so that the receiver's clock may be wrong. hook.MaxRetryAfter is the
// most: nothing longer has any effect.
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
			return hook.MaxRetryAfter // digits alone fail only by their number
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
