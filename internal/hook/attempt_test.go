package hook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 1: success is any 2xx. 3xx is failure and is never followed.
func TestStatusFailure(t *testing.T) {
	t.Parallel()
	for status := 100; status <= 999; status++ {
		class, text := hook.StatusFailure(status)
		require.Equal(t, status/100 == 2, class == hook.ClassNone, "%d", status)
		require.Equal(t, status/100 == 3, class == hook.ClassRedirect, "%d", status)
		require.Equal(t, status/100 == 2, text == "", "%d", status)
	}
	for status, want := range map[int]string{
		500: "HTTP 500 Internal Server Error", 302: "HTTP 302 Found", 410: "HTTP 410 Gone", 599: "HTTP 599", 999: "HTTP 999",
	} {
		_, text := hook.StatusFailure(status)
		require.Equal(t, want, text)
	}
}

// Spec 1, 9, S11, M7: what an attempt means.
func TestJudge(t *testing.T) {
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
		"momento, 410":                 {profile: hook.ProfileMomento, attempt: status(410), scheduled: 1, want: hook.Verdict{State: hook.StateFailed, Disable: "gone"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := hook.Webhook{Profile: test.profile, MaxAttempts: test.most}
			w.Normalize()
			require.Equal(t, test.want, hook.Judge(hook.DefaultSchedule(), &w, test.test, test.scheduled, &test.attempt))
		})
	}
}

// S5, S11, S15: what must not be sent, and why.
func TestCanceled(t *testing.T) {
	t.Parallel()
	active, off := &hook.Webhook{Active: true}, &hook.Webhook{}
	for _, test := range []struct {
		webhook *hook.Webhook
		test    bool
		want    string
	}{
		{active, false, ""},
		{active, true, ""},
		{off, false, "Webhook disabled"},
		{off, true, ""},
		{nil, false, "Webhook deleted"},
		{nil, true, "Webhook deleted"},
	} {
		job := hook.Job{Webhook: test.webhook, Delivery: hook.Delivery{Test: test.test}}
		require.Equal(t, test.want, job.Canceled())
	}
}
