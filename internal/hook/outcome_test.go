package hook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// The outcome of every attempt is one of the classes for which metrics exist.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	known := hook.OutcomeClasses()
	for status := 100; status < 1000; status++ {
		class, text := hook.StatusFailure(status)
		a := hook.Attempt{StatusCode: status, Class: class, Error: text}
		require.Contains(t, known, a.Outcome(), "%d", status)
	}
	for status, want := range map[int]hook.OutcomeClass{
		200: hook.OutcomeSuccess, 204: hook.OutcomeSuccess, 301: hook.Outcome3xx, 404: hook.Outcome4xx, 410: hook.Outcome4xx,
		429: hook.Outcome4xx, 500: hook.Outcome5xx, 503: hook.Outcome5xx, 101: hook.OutcomeStatus, 999: hook.OutcomeStatus,
	} {
		class, _ := hook.StatusFailure(status)
		a := hook.Attempt{StatusCode: status, Class: class}
		require.Equal(t, want, a.Outcome(), "%d", status)
	}
	for _, class := range []hook.ErrorClass{
		hook.ClassTimeout, hook.ClassRefused, hook.ClassReset, hook.ClassUnreachable, hook.ClassDNS, hook.ClassTLS, hook.ClassBlocked,
		hook.ClassTooLarge, hook.ClassProtocol, hook.ClassOther,
	} {
		a := hook.Attempt{Class: class}
		require.Equal(t, string(class), string(a.Outcome()))
		require.Contains(t, known, a.Outcome())
	}
}
