package hook

import (
	"net/http"
	"time"
)

// Policy has the settings of the operator that decide what follows an attempt.
type Policy struct {
	Schedule Schedule
	// DisableOnFinal disables a webhook whose delivery has failed for good.
	DisableOnFinal bool
}

// Verdict says what follows an attempt, for its delivery and for its webhook.
type Verdict struct {
	State DeliveryState
	// Retry says that another attempt follows, RetryIn after the attempt's end.
	Retry   bool
	RetryIn time.Duration
	// Disable is the reason to disable the webhook; empty if it stays enabled.
	Disable string
}

// Record is an attempt that is to be stored, with what it changes.
type Record struct {
	Delivery Delivery // as it was loaded
	// Healthy says that the webhook was healthy when it was loaded.
	Healthy bool
	// TrippedAt is the webhook's TrippedAt as it was loaded. An answer closes the breaker that was opened then, and no
	// later one.
	TrippedAt *time.Time
	Attempt   Attempt
	Verdict   Verdict
}

// Conclude judges an attempt of the job's delivery and returns its record. An attempt by hand leaves the schedule as it
// is, and neither it nor a test disables a webhook under DisableOnFinal.
func Conclude(p Policy, job *Job, a Attempt) Record {
	v := judge(p.Schedule, job.Webhook, job.Delivery.Test, job.Delivery.Scheduled+1, &a)
	if p.DisableOnFinal && v.State == StateFailed && !v.Retry && v.Disable == "" && !a.Manual && !job.Delivery.Test {
		v.Disable = ReasonFailedFinal
	}
	if a.Manual {
		v.Retry, v.RetryIn = false, 0
	}
	return Record{
		Delivery: job.Delivery, Healthy: job.Webhook.Health == HealthHealthy, TrippedAt: job.Webhook.TrippedAt, Attempt: a, Verdict: v,
	}
}

// judge returns the verdict on an attempt as if it was made on the schedule. scheduled is the attempt's number on the
// schedule, from 1.
func judge(s Schedule, w *Webhook, test bool, scheduled int, a *Attempt) Verdict {
	if a.Succeeded() {
		return Verdict{State: StateSuccess}
	}
	v := Verdict{State: StateFailed}
	switch {
	case a.StatusCode == http.StatusGone && !test:
		v.Disable = ReasonGone
		return v
	case w.Profile == ProfileMomento:
		if a.Class == ClassTimeout {
			v.State = StateTimedOut
		}
		return v
	case test:
		return v
	}
	v.RetryIn, v.Retry = s.After(scheduled, w.MaxAttempts, a.RetryAfter)
	return v
}
