package hook

import "time"

// Fresh is an event with its due deliveries as its accept has just stored them. With the webhooks, which a process
// keeps, it has all that the first attempts need: nothing has to be loaded.
type Fresh struct {
	Event      Event
	Deliveries []FreshDelivery
	// ReadAt is a time before the accept read the webhooks, by this process's clock.
	ReadAt time.Time
}

// FreshDelivery is a delivery that was just stored, and what the accept has read of its webhook.
type FreshDelivery struct {
	ID         DeliveryID
	WebhookID  WebhookID
	Version    int64
	Generation int
	Health     Health
}

// Jobs returns the jobs of the first attempts. find returns a webhook with a version, or nil. Jobs returns nil if one
// is missing. The webhooks are neither held nor unavailable, for then the accept would have deferred the deliveries.
func (f *Fresh) Jobs(find func(id WebhookID, version int64) *Webhook) []Job {
	jobs := make([]Job, 0, len(f.Deliveries))
	for i := range f.Deliveries {
		d := &f.Deliveries[i]
		kept := find(d.WebhookID, d.Version)
		if kept == nil {
			return nil
		}
		w := *kept
		w.Health, w.PausedAt, w.SuspendedAt, w.TrippedAt = d.Health, nil, nil, nil
		at := f.ReadAt
		jobs = append(jobs, Job{
			Delivery: Delivery{
				ID: d.ID, EventID: f.Event.ID, WebhookID: d.WebhookID, TenantID: f.Event.TenantID, EventType: f.Event.Type,
				State: StatePending, NextAttemptAt: &at, CreatedAt: f.Event.CreatedAt, Generation: &d.Generation,
			},
			Event: f.Event, Webhook: &w, ReadAt: f.ReadAt,
		})
	}
	return jobs
}
