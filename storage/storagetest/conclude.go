package storagetest

import (
	"crypto/rand"

	"grapnel/internal/hook"
)

// RecordOf judges an attempt of the job by spec 1's schedule, as activities do, and returns the
// record of it. It gives the attempt an id if it has none.
func RecordOf(job *hook.Job, a hook.Attempt) hook.Record {
	a.DeliveryID, a.Number = job.Delivery.ID, job.Delivery.Attempts+1
	if a.ID == ([16]byte{}) {
		rand.Read(a.ID[:]) // it never fails since Go 1.24
	}
	v := hook.Judge(hook.DefaultSchedule(), job.Webhook, job.Delivery.Test, job.Delivery.Scheduled+1, &a)
	if a.Manual {
		v.Retry, v.RetryIn = false, 0 // the schedule stays as it is
	}
	return hook.Record{
		Delivery: job.Delivery, Healthy: job.Webhook.Health == hook.HealthHealthy, TrippedAt: job.Webhook.TrippedAt, Attempt: a, Verdict: v,
	}
}
