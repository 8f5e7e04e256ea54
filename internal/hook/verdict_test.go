package hook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 1, 9, S11, M7: the verdict on an attempt.
func TestConclude(t *testing.T) {
	t.Parallel()
	status := func(code int) hook.Attempt {
		class, text := hook.StatusFailure(code)
		return hook.Attempt{StatusCode: code, Class: class, Error: text}
	}
	timeout := hook.Attempt{Class: hook.ClassTimeout, Error: "Connection timeout"}
	later := status(429)
	later.RetryAfter = time.Hour
	failed := hook.Verdict{State: hook.StateFailed}
	again := func(in time.Duration) hook.Verdict {
		return hook.Verdict{State: hook.StateFailed, Retry: true, RetryIn: in}
	}
	for name, test := range map[string]struct {
		profile   hook.Profile
		most      int
		test      bool
		manual    bool
		strict    bool
		scheduled int
		attempt   hook.Attempt
		want      hook.Verdict
	}{
		"200":                          {attempt: status(200), scheduled: 1, want: hook.Verdict{State: hook.StateSuccess}},
		"204":                          {attempt: status(204), scheduled: 5, want: hook.Verdict{State: hook.StateSuccess}},
		"500":                          {attempt: status(500), scheduled: 1, want: again(30 * time.Second)},
		"400 is tried again, too":      {attempt: status(400), scheduled: 2, want: again(5 * time.Minute)},
		"302":                          {attempt: status(302), scheduled: 1, want: again(30 * time.Second)},
		"time-out":                     {attempt: timeout, scheduled: 4, want: again(2 * time.Hour)},
		"blocked":                      {attempt: hook.Attempt{Class: hook.ClassBlocked}, scheduled: 1, want: again(30 * time.Second)},
		"the fifth failure":            {attempt: status(500), scheduled: 5, want: failed},
		"the webhook's last attempt":   {attempt: status(500), most: 2, scheduled: 2, want: failed},
		"429 with Retry-After":         {attempt: later, scheduled: 1, want: again(time.Hour)},
		"Retry-After adds no attempt":  {attempt: later, scheduled: 5, want: failed},
		"410":                          {attempt: status(410), scheduled: 1, want: hook.Verdict{State: hook.StateFailed, Disable: "gone"}},
		"410 on commenda":              {profile: hook.ProfileCommenda, attempt: status(410), scheduled: 1, want: hook.Verdict{State: hook.StateFailed, Disable: "gone"}},
		"500 on commenda":              {profile: hook.ProfileCommenda, attempt: status(500), scheduled: 1, want: again(30 * time.Second)},
		"test, 200":                    {test: true, attempt: status(200), scheduled: 1, want: hook.Verdict{State: hook.StateSuccess}},
		"test, 500":                    {test: true, attempt: status(500), scheduled: 1, want: failed},
		"test, 410 disables nothing":   {test: true, attempt: status(410), scheduled: 1, want: failed},
		"test, 429 with Retry-After":   {test: true, attempt: later, scheduled: 1, want: failed},
		"momento, 200":                 {profile: hook.ProfileMomento, attempt: status(200), scheduled: 1, want: hook.Verdict{State: hook.StateSuccess}},
		"momento, time-out":            {profile: hook.ProfileMomento, attempt: timeout, scheduled: 1, want: hook.Verdict{State: hook.StateTimedOut}},
		"momento, 500: never again":    {profile: hook.ProfileMomento, attempt: status(500), scheduled: 1, want: failed},
		"momento, 429 and Retry-After": {profile: hook.ProfileMomento, attempt: later, scheduled: 1, want: failed},
		"by hand, 200":                 {manual: true, attempt: status(200), scheduled: 1, want: hook.Verdict{State: hook.StateSuccess}},
		"by hand, 500: no retry":       {manual: true, attempt: status(500), scheduled: 1, want: failed},
		"by hand, 429":                 {manual: true, attempt: later, scheduled: 1, want: failed},
		"by hand, 410":                 {manual: true, attempt: status(410), scheduled: 1, want: hook.Verdict{State: hook.StateFailed, Disable: "gone"}},
		"strict, 500":                  {strict: true, attempt: status(500), scheduled: 1, want: again(30 * time.Second)},
		"strict, 200":                  {strict: true, attempt: status(200), scheduled: 5, want: hook.Verdict{State: hook.StateSuccess}},
		"strict, the fifth failure":    {strict: true, attempt: status(500), scheduled: 5, want: hook.Verdict{State: hook.StateFailed, Disable: hook.ReasonFailedFinal}},
		"strict, 410":                  {strict: true, attempt: status(410), scheduled: 5, want: hook.Verdict{State: hook.StateFailed, Disable: "gone"}},
		"strict, by hand":              {strict: true, manual: true, attempt: status(500), scheduled: 5, want: failed},
		"strict, test":                 {strict: true, test: true, attempt: status(500), scheduled: 1, want: failed},
		"strict, momento":              {strict: true, profile: hook.ProfileMomento, attempt: status(500), scheduled: 1, want: hook.Verdict{State: hook.StateFailed, Disable: hook.ReasonFailedFinal}},
		"strict, momento, time-out":    {strict: true, profile: hook.ProfileMomento, attempt: timeout, scheduled: 1, want: hook.Verdict{State: hook.StateTimedOut}},
		"momento, 410":                 {profile: hook.ProfileMomento, attempt: status(410), scheduled: 1, want: hook.Verdict{State: hook.StateFailed, Disable: "gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := hook.Webhook{Profile: test.profile, MaxAttempts: test.most}
			w.Normalize()
			tripped := time.Now()
			w.TrippedAt = &tripped
			job := hook.Job{Webhook: &w, Delivery: hook.Delivery{ID: hook.DeliveryID{1}, Test: test.test, Scheduled: test.scheduled - 1}}
			attempt := test.attempt
			attempt.Manual = test.manual
			want := hook.Record{Delivery: job.Delivery, Healthy: true, TrippedAt: &tripped, Attempt: attempt, Verdict: test.want}
			policy := hook.Policy{Schedule: hook.DefaultSchedule(), DisableOnFinal: test.strict}
			require.Equal(t, want, hook.Conclude(policy, &job, attempt))
			w.Health = hook.HealthFailing
			require.False(t, hook.Conclude(policy, &job, attempt).Healthy)
		})
	}
}
