package config_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"grapnel/internal/config"
	"grapnel/internal/hook"
)

// scheduleOf is a simple model of --retry-schedule: one to four delays that
// are positive and do not get shorter. It reports whether text is valid.
func scheduleOf(text string) ([]time.Duration, bool) {
	var out []time.Duration
	for part := range strings.SplitSeq(strings.TrimSuffix(text, ","), ",") {
		d, err := time.ParseDuration(part)
		if err != nil || d <= 0 {
			return nil, false
		}
		out = append(out, d)
	}
	return out, len(out) < hook.MaxAttempts && slices.IsSorted(out)
}

// The flag is either refused or means exactly its text.
func FuzzRetrySchedule(f *testing.F) {
	for _, seed := range []string{"30s,5m,30m,2h", "1s", "", ",", "1s,", "2s,1s", "0s", "-1s", "1s,1s,1s,1s,1s", "1", "1s 2s", "1h1m1s", "9999999h", "1e3s", "1s;2s", "NaN"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, `\`) {
			return // kong's way to escape a comma
		}
		var given struct{ config.Delivery }
		parser, err := kong.New(&given, kong.Exit(func(int) { t.Fatal("exit") }))
		require.NoError(t, err)
		_, err = parser.Parse([]string{"--retry-schedule=" + text})
		if err == nil {
			c := valid()
			c.RetrySchedule = given.RetrySchedule
			err = c.Validate()
		}
		want, ok := scheduleOf(text)
		require.Equal(t, ok, err == nil, "%q: %v", text, err)
		if ok {
			require.Equal(t, want, given.RetrySchedule)
		}
	})
}
