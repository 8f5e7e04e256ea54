package storagetest

import (
	"context"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// Subject is a store under test: the methods that activities use, and the fixture that the cases need.
type Subject interface {
	delivery.Store
	delivery.Lookup
	delivery.DeferredStore
	drainStore
	replayStore
	processStore
	Fixture
}

// drainStore has the methods of activities.DrainStore, which would link Temporal's SDK.
type drainStore interface {
	ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error)
	DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (bool, error)
	DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error)
}

// replayStore has the methods of activities.Replays.
type replayStore interface {
	ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error)
	ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration, changes int64) (bool, error)
}

// Fixture creates and reads the data of a case. Its methods fail the test on an error. All data is of the default
// tenant.
type Fixture interface {
	// Now is the store's clock.
	Now() time.Time
	// Pass lets d pass: everything in the store gets older by d.
	Pass(t *testing.T, d time.Duration)
	// AddWebhook creates an active webhook that receives what Publish publishes for its profile.
	AddWebhook(t *testing.T, change func(*hook.Webhook)) hook.WebhookID
	// UpdateWebhook changes a webhook, as a PATCH request does.
	UpdateWebhook(t *testing.T, id hook.WebhookID, change func(*hook.Webhook))
	// Suspend suspends the tenant, or makes it active again (K8).
	Suspend(t *testing.T, suspend bool)
	// RemoveWebhook deletes a webhook, as a DELETE request does.
	RemoveWebhook(t *testing.T, id hook.WebhookID)
	// ReadWebhook returns the webhook in its current state; it must exist.
	ReadWebhook(t *testing.T, id hook.WebhookID) hook.Webhook
	// Publish publishes an event with the data to all webhooks of the profile.
	Publish(t *testing.T, profile hook.Profile, data string) hook.EventID
	// PublishEarlier stores an event that was published ten minutes ago, before there was
	// any webhook.
	PublishEarlier(t *testing.T) hook.EventID
	// AddTest creates a test of the webhook (S11).
	AddTest(t *testing.T, webhook hook.WebhookID) hook.DeliveryID
	// RemoveTest drops a test that has not begun.
	RemoveTest(t *testing.T, id hook.DeliveryID)
	// ReadDelivery returns the delivery as a client sees it.
	ReadDelivery(t *testing.T, id hook.DeliveryID) hook.Delivery
	// ReadLog returns the recorded attempts of the delivery, in order.
	ReadLog(t *testing.T, id hook.DeliveryID) []hook.Attempt
	// AddReplay starts a replay of the events up to five minutes ago of which the webhook has no delivery.
	AddReplay(t *testing.T, webhook hook.WebhookID, rate int) hook.ReplayID
	// AddReplayOver is AddReplay over several webhooks, nil for all of the tenant.
	AddReplayOver(t *testing.T, webhooks []hook.WebhookID, rate int) hook.ReplayID
	// UpdateReplay changes a replay, as a PATCH request does.
	UpdateReplay(t *testing.T, id hook.ReplayID, change func(*hook.Replay))
}

// Run runs the conformance suite, which checks the store's behaviour that activities rely on. It calls open for
// each case; open must return an empty store.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	for group, cases := range map[string]map[string]func(*world){
		"Record": recordCases(), "health": healthCases(), "claims": claimCases(), "lookup": lookupCases(),
		"deferred": deferredCases(), "expiry": expiryCases(), "drain": drainCases(), "replay": replayCases(),
		"suspension": suspensionCases(),
		"processes":  processCases(),
	} {
		t.Run(group, func(t *testing.T) {
			t.Parallel()
			for _, name := range slices.Sorted(maps.Keys(cases)) {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					cases[name](&world{t: t, Subject: open(t)})
				})
			}
		})
	}
}

// world is a store and the test that uses it.
type world struct {
	t *testing.T
	Subject
}

// webhook creates a webhook of the standard profile.
func (w *world) webhook() hook.WebhookID { return w.AddWebhook(w.t, nil) }

// messageWebhook creates a webhook that receives messages, at most once each.
func (w *world) messageWebhook() hook.WebhookID {
	return w.AddWebhook(w.t, func(w *hook.Webhook) { w.Profile = hook.ProfileMomento })
}

// publish publishes an event to all webhooks of the standard profile.
func (w *world) publish() hook.EventID { return w.Publish(w.t, hook.ProfileStandard, `{"id":1}`) }

// states returns the event's deliveries by webhook.
func (w *world) states(event hook.EventID) map[hook.WebhookID]hook.Delivery {
	w.t.Helper()
	list, err := w.States(w.t.Context(), []hook.EventID{event}, 0, 1)
	require.NoError(w.t, err)
	states := map[hook.WebhookID]hook.Delivery{}
	for i := range list {
		states[list[i].WebhookID] = list[i]
	}
	require.Len(w.t, states, len(list), "a webhook has one delivery of an event")
	return states
}

// delivery publishes an event and returns the webhook's delivery of it.
func (w *world) delivery(id hook.WebhookID) hook.DeliveryID {
	w.t.Helper()
	d, ok := w.states(w.publish())[id]
	require.True(w.t, ok, "the webhook has a delivery")
	return d.ID
}

// message publishes a message and returns the webhook's delivery of it.
func (w *world) message(id hook.WebhookID) hook.DeliveryID {
	w.t.Helper()
	d, ok := w.states(w.Publish(w.t, hook.ProfileMomento, `"hello"`))[id]
	require.True(w.t, ok, "the webhook has a delivery")
	return d.ID
}

// job loads the delivery.
func (w *world) job(id hook.DeliveryID) hook.Job {
	w.t.Helper()
	job, err := w.Job(w.t.Context(), id)
	require.NoError(w.t, err)
	return job
}

// attempt loads the delivery and records an attempt.
func (w *world) attempt(id hook.DeliveryID, o Outcome) hook.Delivery {
	w.t.Helper()
	return w.record(w.result(id, o, false))
}

// byHand loads the delivery and records an attempt by hand.
func (w *world) byHand(id hook.DeliveryID, o Outcome) hook.Delivery {
	w.t.Helper()
	return w.record(w.result(id, o, true))
}

// result loads the delivery and returns the record of an attempt that ends now.
func (w *world) result(id hook.DeliveryID, o Outcome, manual bool) hook.Record {
	w.t.Helper()
	job := w.job(id)
	a := o.attempt
	a.URL, a.StartedAt, a.Manual = job.Webhook.URL, w.Now(), manual
	return RecordOf(&job, a)
}

// record records one attempt and returns its delivery, which must equal the delivery that clients see.
func (w *world) record(r hook.Record) hook.Delivery {
	w.t.Helper()
	recorded, err := w.Record(w.t.Context(), []hook.Record{r})
	require.NoError(w.t, err)
	list := recorded.Deliveries
	require.Len(w.t, list, 1)
	found := w.ReadDelivery(w.t, r.Delivery.ID)
	found.Waits, list[0].Waits = nil, nil // they depend on the time of reading
	require.Equal(w.t, found, list[0], "Record returns the delivery as it then stands")
	return list[0]
}

// cancel cancels the delivery.
func (w *world) cancel(id hook.DeliveryID) {
	w.t.Helper()
	require.NoError(w.t, w.CancelDeliveries(w.t.Context(), []hook.DeliveryID{id}, hook.TextWebhookDeleted))
}

// disable deactivates the webhook.
func (w *world) disable(id hook.WebhookID) {
	w.t.Helper()
	w.UpdateWebhook(w.t, id, func(w *hook.Webhook) { w.Active, w.DisabledReason = false, hook.ReasonByClient })
}

// pause pauses the webhook, or resumes it.
func (w *world) pause(id hook.WebhookID, pause bool) {
	w.t.Helper()
	now := w.Now()
	w.UpdateWebhook(w.t, id, func(w *hook.Webhook) { w.Pause(pause, now) })
}

// requireEnded checks that the delivery has ended in the state with the error text.
func (w *world) requireEnded(d hook.Delivery, state hook.DeliveryState, text string) {
	w.t.Helper()
	require.Equal(w.t, state, d.State)
	require.Equal(w.t, text, d.Error)
	require.False(w.t, d.Outstanding(), "no attempt is to come")
}
