package egress

import (
	"math/big"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Whatever a receiver writes into Retry-After, the result is 0 to 24 hours: for
// digits, that many seconds; for a date, the time until it by the
// receiver's clock (spec 9).
func FuzzRetryAfter(f *testing.F) {
	for _, seed := range [][2]string{
		{"120", ""},
		{"0", ""},
		{"-1", ""},
		{"1.5", ""},
		{"+5", ""},
		{"99999999999999999999999999", ""},
		{" 7 ", ""},
		{"٣", ""},
		{"1e3", ""},
		{"", "x"},
		{"Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:27:00 GMT"},
		{"Wed, 21 Oct 2026 07:28:00 GMT", ""},
		{"Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 0001 00:00:00 GMT"},
		{"Sunday, 06-Nov-94 08:49:37 GMT", ""},
		{"Sun Nov  6 08:49:37 1994", ""},
		{"86401", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	digits := regexp.MustCompile(`\A[0-9]+\z`)
	now := time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		resp := &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {value}, "Date": {date}}}
		got := retryAfter(resp, now)
		require.GreaterOrEqual(t, got, time.Duration(0))
		require.LessOrEqual(t, got, hook.MaxRetryAfter)
		trimmed := strings.TrimSpace(value)
		at, err := http.ParseTime(trimmed)
		switch {
		case digits.MatchString(trimmed):
			n, ok := new(big.Int).SetString(trimmed, 10)
			require.True(t, ok)
			if n.Cmp(big.NewInt(24*60*60)) < 0 {
				require.Equal(t, time.Duration(n.Int64())*time.Second, got)
			} else {
				require.Equal(t, hook.MaxRetryAfter, got)
			}
		case err != nil:
			require.Zero(t, got, "%q", value)
		default:
			clock := now
			if theirs, err := http.ParseTime(date); err == nil {
				clock = theirs
			}
			require.Equal(t, at.After(clock), got > 0)
			if got > 0 && got < hook.MaxRetryAfter {
				require.True(t, clock.Add(got).Equal(at))
			}
		}
		resp.StatusCode = http.StatusInternalServerError
		require.Zero(t, retryAfter(resp, now), "only 429 and 503 are asked")
	})
}
