package egress

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 2, 2, 10, 0, 0, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	tests := []struct {
		name        string
		status      int
		value, date string
		want        time.Duration
	}{
		{"seconds", 429, "30", "", 30 * time.Second},
		{"seconds on 503", 503, " 30 ", "", 30 * time.Second},
		{"not on 500", 500, "30", "", 0},
		{"not on 200", 200, "30", "", 0},
		{"absent", 503, "", "", 0},
		{"zero", 503, "0", "", 0},
		{"negative", 503, "-5", "", 0},
		{"plus sign", 503, "+5", "", 0},
		{"fraction", 503, "1.5", "", 0},
		{"garbage", 503, "soon", "", 0},
		{"a day and more", 503, "172800", "", hook.MaxRetryAfter},
		{"over 64 bits", 503, "99999999999999999999999999", "", hook.MaxRetryAfter},
		{"date by our clock", 503, at(time.Minute), "", time.Minute},
		{"date by the receiver's clock", 503, at(time.Minute), at(45 * time.Second), 15 * time.Second},
		{"date with an unreadable Date", 503, at(time.Minute), "yesterday", time.Minute},
		{"date gone by", 429, at(-time.Minute), "", 0},
		{"date far off", 429, "Fri, 31 Dec 9999 23:59:59 GMT", "", hook.MaxRetryAfter},
		{"date of RFC 850", 429, "Monday, 02-Feb-26 10:00:10 GMT", "", 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{StatusCode: tt.status, Header: http.Header{}}
			if tt.value != "" {
				resp.Header.Set("Retry-After", tt.value)
			}
			if tt.date != "" {
				resp.Header.Set("Date", tt.date)
			}
			require.Equal(t, tt.want, retryAfter(resp, now))
		})
	}
}
