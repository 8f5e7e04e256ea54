package storage_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// later makes the webhook's health older by so many days.
func (f *fixture) later(t *testing.T, w hook.Webhook, days int) {
	t.Helper()
	f.exec(t, `update webhooks set failing_since = failing_since - make_interval(days => $2), failed_on = failed_on - $2,
		paused_at = paused_at - make_interval(days => $2) where id = $1`, [16]byte(w.ID), days)
}

// S14: days without a request to the endpoint don't count as days of failure. A 503 after such days disables
// nothing and cancels nothing.
func TestFiveDaysOfFailingAreThoseInWhichItWasAsked(t *testing.T) {
	t.Parallel()
	longtest.Only(t) // the conformance suite has a pause and another address
	for name, between := range map[string]func(t *testing.T, f *fixture, w hook.Webhook){
		"paused": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			f.pause(t, w, true)
			f.later(t, w, 6)
			f.pause(t, w, false)
		},
		"elsewhere": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			f.later(t, w, 6)
			_, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error { w.URL = "https://example.com/new"; return nil })
			require.NoError(t, err)
		},
		"switched off and on": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			f.later(t, w, 6)
			f.disable(t, w)
			f.enable(t, w)
		},
		"without an event": func(t *testing.T, f *fixture, w hook.Webhook) { t.Helper(); f.later(t, w, 6) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			first := f.delivery(t, w)
			for range hook.MaxAttempts {
				f.attempt(t, first, answered(500))
			}
			between(t, f, w)
			waiting := f.delivery(t, w)
			f.attempt(t, f.delivery(t, w), answered(503))
			require.True(t, f.health(t, w).Active)
			require.Equal(t, hook.StatePending, f.read(t, waiting).State)
		})
	}
}

// A pause neither counts towards the five days nor restarts them: failures from before the pause still count after
// it.
func TestFiveDaysGoOnAfterAPause(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.failingFor(t, w, "3 days")
	f.pause(t, w, true)
	f.later(t, w, 6)
	f.pause(t, w, false)
	require.InDelta(t, 3*24*3600, scalar[float64](t, f, `select extract(epoch from now() - failing_since)::float8 from webhooks`), 60)
	f.attempt(t, f.delivery(t, w), answered(503))
	require.True(t, f.health(t, w).Active)
	f.later(t, w, 3)
	f.attempt(t, f.delivery(t, w), answered(503))
	require.Equal(t, hook.ReasonFailedDays, f.reason(t, w))
}

// A webhook whose requests fail during a pause, because they were already in progress, has failed since the end of
// the pause.
func TestAPauseMovesNothingIntoTheFuture(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.pause(t, w, true)
	f.attempt(t, id, answered(503))
	f.pause(t, w, false)
	require.True(t, scalar[bool](t, f, `select failing_since <= now() from webhooks`))
}

// Five days with too few attempts, or with failures on too few days, don't disable: an endpoint that is rarely
// called has not failed for five days because of two bad hours.
func TestFiveDaysNeedAttemptsAndDays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failures, days int
		active         bool
	}{
		"enough":            {4, 2, false},
		"few attempts":      {3, 2, true},
		"two days in all":   {5, 1, true},
		"many more of both": {5, 100, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			f.failingFor(t, w, "6 days")
			f.exec(t, `update webhooks set failures = $1, failed_days = $2`, c.failures, c.days)
			f.attempt(t, f.delivery(t, w), answered(503))
			require.Equal(t, c.active, f.health(t, w).Active)
		})
	}
}

// Failures that can change nothing any more don't update the webhook's row.
func TestFailuresAreCountedUpToWhatMatters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	row := func() string { return scalar[string](t, f, `select xmin::text from webhooks`) }
	for n := 1; n <= 5; n++ {
		f.attempt(t, f.delivery(t, w), answered(503))
		require.Equal(t, n, scalar[int](t, f, `select failures from webhooks`))
	}
	before := row()
	f.attempt(t, f.delivery(t, w), answered(503))
	require.Equal(t, before, row())
	f.later(t, w, 1)
	f.attempt(t, f.delivery(t, w), answered(503))
	require.Equal(t, 2, scalar[int](t, f, `select failed_days from webhooks`))
	f.attempt(t, f.delivery(t, w), answered(200))
	require.Equal(t, 0, scalar[int](t, f, `select failures + failed_days from webhooks where failing_since is null`))
}
