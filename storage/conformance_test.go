package storage_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage"
	"grapnel/storage/storagetest"
)

// The PostgreSQL store passes the same suite as the store in memory, on which the tests of activities and
// workflows run.
func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(t *testing.T) storagetest.Subject {
		t.Helper()
		f := setup(t)
		return &subject{Store: f.Store, f: f}
	})
}

// subject is a store and the fixture that the conformance suite needs.
type subject struct {
	*storage.Store
	f *fixture
	// webhooks counts the webhooks, to name them.
	webhooks int
}

func (*subject) Now() time.Time { return time.Now() }

func (s *subject) Pass(t *testing.T, d time.Duration) {
	t.Helper()
	s.f.exec(t, `update deliveries set created_at = created_at - $1::interval, updated_at = updated_at - $1::interval,
		next_attempt_at = next_attempt_at - $1::interval, delivered_at = delivered_at - $1::interval`, d)
	s.f.exec(t, `update webhooks set failing_since = failing_since - $1::interval, failed_on = failed_on - $2::int,
		paused_at = paused_at - $1::interval, suspended_at = suspended_at - $1::interval, resumed_at = resumed_at - $1::interval, tripped_at = tripped_at - $1::interval`,
		d, int(d/(24*time.Hour)))
	s.f.exec(t, `update drains set probe_at = probe_at - $1::interval`, d)
	s.f.exec(t, `update processes set heartbeat_at = heartbeat_at - $1::interval`, d)
}

func (s *subject) AddWebhook(t *testing.T, change func(*hook.Webhook)) hook.WebhookID {
	t.Helper()
	s.webhooks++
	return s.f.webhook(t, func(w *hook.Webhook) {
		if change != nil {
			change(w)
		}
		if w.Profile == hook.ProfileMomento {
			w.Cache, w.Name, w.Events = room().Cache, strconv.Itoa(s.webhooks), []string{room().Name}
		}
	}).ID
}

func (s *subject) UpdateWebhook(t *testing.T, id hook.WebhookID, change func(*hook.Webhook)) {
	t.Helper()
	s.f.change(t, hook.Webhook{ID: id, TenantID: hook.DefaultTenant()}, change)
}

func (s *subject) Suspend(t *testing.T, suspend bool) {
	t.Helper()
	status := map[bool]hook.TenantStatus{true: hook.TenantSuspended, false: hook.TenantActive}[suspend]
	_, err := s.UpdateTenant(t.Context(), "default", func(t *hook.Tenant) error {
		t.Status = status
		return nil
	})
	require.NoError(t, err)
}

func (s *subject) RemoveWebhook(t *testing.T, id hook.WebhookID) {
	t.Helper()
	require.NoError(t, s.DeleteWebhook(t.Context(), hook.DefaultTenant(), id))
}

func (s *subject) ReadWebhook(t *testing.T, id hook.WebhookID) hook.Webhook {
	t.Helper()
	return s.f.health(t, hook.Webhook{ID: id})
}

func (s *subject) Publish(t *testing.T, profile hook.Profile, data string) hook.EventID {
	t.Helper()
	p := hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(data)}
	if profile == hook.ProfileMomento {
		p.Cache, p.Type, p.TokenID = room().Cache, room().Name, "token"
	}
	accepted, err := s.Store.Publish(t.Context(), p)
	require.NoError(t, err)
	return accepted.Event.ID
}

func (s *subject) PublishEarlier(t *testing.T) hook.EventID {
	t.Helper()
	return s.f.past(t, "user.created")
}

func (s *subject) AddTest(t *testing.T, webhook hook.WebhookID) hook.DeliveryID {
	t.Helper()
	d, err := s.CreateTest(t.Context(), s.ReadWebhook(t, webhook), hook.Publication{Type: "user.created", Data: eventData()})
	require.NoError(t, err)
	return d.ID
}

func (s *subject) RemoveTest(t *testing.T, id hook.DeliveryID) {
	t.Helper()
	require.NoError(t, s.DropTest(t.Context(), hook.Delivery{ID: id}))
}

func (s *subject) ReadDelivery(t *testing.T, id hook.DeliveryID) hook.Delivery {
	t.Helper()
	return s.f.read(t, id)
}

func (s *subject) ReadLog(t *testing.T, id hook.DeliveryID) []hook.Attempt {
	t.Helper()
	log, err := s.Attempts(t.Context(), id)
	require.NoError(t, err)
	return log
}

func (s *subject) AddReplay(t *testing.T, webhook hook.WebhookID, rate int) hook.ReplayID {
	t.Helper()
	return s.f.replay(t, hook.Webhook{ID: webhook, TenantID: hook.DefaultTenant()}, hook.ReplayMissing, func(r *hook.Replay) {
		r.Rate, r.Until = rate, time.Now().Add(-5*time.Minute)
	}).ID
}

func (s *subject) AddReplayOver(t *testing.T, webhooks []hook.WebhookID, rate int) hook.ReplayID {
	t.Helper()
	return s.f.over(t, hook.ReplayMissing, func(r *hook.Replay) {
		r.WebhookIDs, r.Rate, r.Until = webhooks, rate, time.Now().Add(-5*time.Minute)
	}).ID
}

func (s *subject) UpdateReplay(t *testing.T, id hook.ReplayID, change func(*hook.Replay)) {
	t.Helper()
	_, err := s.Store.UpdateReplay(t.Context(), hook.DefaultTenant(), id, func(r *hook.Replay) error {
		change(r)
		return nil
	})
	require.NoError(t, err)
}
