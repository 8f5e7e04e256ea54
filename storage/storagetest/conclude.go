package storagetest

import (
	"crypto/rand"

	"grapnel/internal/hook"
)

// RecordOf returns the record of an attempt of the job, concluded by spec 1's schedule as the delivery engine
// does. It gives the attempt an id if it has none.
func RecordOf(job *hook.Job, a hook.Attempt) hook.Record {
	a.DeliveryID, a.Number = job.Delivery.ID, job.Delivery.Attempts+1
	if a.ID == ([16]byte{}) {
		rand.Read(a.ID[:]) // it never fails since Go 1.24
	}
	return hook.Conclude(hook.Policy{Schedule: hook.DefaultSchedule()}, job, a)
}
