package hook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// Spec 1: five attempts: at once, then after 30 s, 5 min, 30 min and 2 h. Spec 9: Retry-After postpones an attempt by
// up to 24 h. It never advances one and adds none.
func TestScheduleAfter(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		attempt, maxAttempts int
		retryAfter           time.Duration
		want                 time.Duration // 0 if there is no further attempt
	}{
		"second":                         {1, 5, 0, 30 * time.Second},
		"third":                          {2, 5, 0, 5 * time.Minute},
		"fourth":                         {3, 5, 0, 30 * time.Minute},
		"fifth":                          {4, 5, 0, 2 * time.Hour},
		"no sixth":                       {5, 5, 0, 0},
		"nor later":                      {6, 5, 0, 0},
		"nor by asking for more":         {5, 9, 0, 0},
		"one attempt":                    {1, 1, 0, 0},
		"two of three":                   {2, 3, 0, 5 * time.Minute},
		"three of three":                 {3, 3, 0, 0},
		"asked for later":                {1, 5, time.Minute, time.Minute},
		"asked for sooner":               {1, 5, time.Second, 30 * time.Second},
		"asked for the same":             {1, 5, 30 * time.Second, 30 * time.Second},
		"asked for 24 h":                 {1, 5, 24 * time.Hour, 24 * time.Hour},
		"asked for over 24 h":            {1, 5, 25 * time.Hour, 24 * time.Hour},
		"asked for 290 years":            {4, 5, 1<<63 - 1, 24 * time.Hour},
		"asked for the past":             {1, 5, -time.Hour, 30 * time.Second},
		"asked for one more, at the end": {5, 5, time.Minute, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := hook.DefaultSchedule().After(test.attempt, test.maxAttempts, test.retryAfter)
			require.Equal(t, test.want, got)
			require.Equal(t, test.want > 0, ok)
		})
	}
	short := hook.Schedule{time.Second}
	_, ok := short.After(2, 5, 0)
	require.False(t, ok, "a shorter schedule has fewer attempts")
}

// Law: no delay is shorter than the schedule's, or longer than the schedule's and 24 h. No delivery gets more than five
// attempts.
func TestScheduleBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := hook.DefaultSchedule()
		attempt, most := rapid.IntRange(1, 10).Draw(t, "attempt"), rapid.IntRange(1, 5).Draw(t, "max attempts")
		asked := time.Duration(rapid.Int64().Draw(t, "retry after"))
		in, ok := s.After(attempt, most, asked)
		require.Equal(t, attempt < most, ok)
		if ok {
			require.GreaterOrEqual(t, in, s[attempt-1])
			require.LessOrEqual(t, in, max(s[attempt-1], 24*time.Hour))
		}
	})
}

func TestScheduleValidate(t *testing.T) {
	t.Parallel()
	for _, good := range []hook.Schedule{hook.DefaultSchedule(), {1}, {1, 1, 1, 1}} {
		require.NoError(t, good.Validate())
	}
	for name, bad := range map[string]hook.Schedule{
		"nil": nil, "five delays": {1, 2, 3, 4, 5}, "zero": {0, 1}, "negative": {-1}, "shorter": {2, 1},
	} {
		require.Error(t, bad.Validate(), name)
	}
}
