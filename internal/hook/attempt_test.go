package hook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Spec 1: any 2xx is success. A 3xx is a failure and is never followed.
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

// S5, S11, S15: which deliveries must not be sent, and why.
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
