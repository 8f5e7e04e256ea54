package hook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func TestWaitOf(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) *time.Time { at := now.Add(-d); return &at }
	due := hook.Delivery{State: hook.StatePending, NextAttemptAt: ago(time.Minute)}
	with := func(change func(*hook.Delivery)) hook.Delivery {
		d := due
		change(&d)
		return d
	}
	deferred := with(func(d *hook.Delivery) { d.Deferred = true })
	paused := &hook.Webhook{PausedAt: ago(time.Hour), TrippedAt: ago(time.Second)}
	open := &hook.Webhook{TrippedAt: ago(time.Second)}
	for name, c := range map[string]struct {
		delivery hook.Delivery
		webhook  *hook.Webhook
		probe    *time.Time
		want     *hook.Wait
	}{
		"paused, since it was due":         {deferred, paused, nil, &hook.Wait{Reason: hook.WaitPaused, Since: now.Add(-time.Minute)}},
		"not deferred yet":                 {due, paused, nil, &hook.Wait{Reason: hook.WaitPaused, Since: now.Add(-time.Minute)}},
		"unavailable, since it tripped":    {deferred, open, nil, &hook.Wait{Reason: hook.WaitUnavailable, Since: now.Add(-time.Second)}},
		"unavailable, with the next probe": {deferred, open, ago(-time.Minute), &hook.Wait{Reason: hook.WaitUnavailable, Since: now.Add(-time.Second), ProbeAt: ago(-time.Minute)}},
		"a probe is not in the past":       {deferred, open, ago(time.Minute), &hook.Wait{Reason: hook.WaitUnavailable, Since: now.Add(-time.Second), ProbeAt: ago(0)}},
		"over its rate":                    {deferred, &hook.Webhook{RateLimit: 1}, nil, &hook.Wait{Reason: hook.WaitRate, Since: now.Add(-time.Minute)}},
		"too many in flight":               {deferred, &hook.Webhook{}, ago(0), &hook.Wait{Reason: hook.WaitInFlight, Since: now.Add(-time.Minute)}},
		"about to be sent":                 {due, &hook.Webhook{RateLimit: 1}, nil, nil},
		"not due yet":                      {with(func(d *hook.Delivery) { d.Deferred, d.NextAttemptAt = true, ago(-time.Second) }), open, nil, nil},
		"ended":                            {with(func(d *hook.Delivery) { d.Deferred, d.NextAttemptAt = true, nil }), open, nil, nil},
		"being sent":                       {with(func(d *hook.Delivery) { d.Deferred, d.State = true, hook.StateSending }), open, nil, nil},
		"a test waits for nobody":          {with(func(d *hook.Delivery) { d.Test = true }), paused, nil, nil},
		"of a webhook that is gone":        {deferred, nil, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, hook.WaitOf(&c.delivery, c.webhook, c.probe, now))
		})
	}
}

// S3: a webhook to which nothing is sent is not shown as healthy.
func TestStatusSaysWhatIs(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, c := range map[string]struct {
		webhook        hook.Webhook
		status, reason string
	}{
		"healthy":                 {hook.Webhook{Active: true, Health: hook.HealthHealthy}, "healthy", ""},
		"paused":                  {hook.Webhook{Active: true, Health: hook.HealthHealthy, PausedAt: &now}, "disabled", hook.ReasonPaused},
		"paused and failed":       {hook.Webhook{Active: true, Health: hook.HealthFailed, PausedAt: &now, TrippedAt: &now}, "disabled", hook.ReasonPaused},
		"unavailable":             {hook.Webhook{Active: true, Health: hook.HealthHealthy, TrippedAt: &now}, "failing", hook.ReasonUnavailable},
		"unavailable, and failed": {hook.Webhook{Active: true, Health: hook.HealthFailed, TrippedAt: &now}, "failed", hook.ReasonUnavailable},
		"disabled while paused":   {hook.Webhook{DisabledReason: hook.ReasonGone, Health: hook.HealthHealthy, PausedAt: &now}, "disabled", hook.ReasonGone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, []string{c.status, c.reason}, []string{c.webhook.Status(), c.webhook.StatusReason()})
		})
	}
}
