package storagetest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
)

// The store in memory passes the suite that the one on PostgreSQL passes.
func TestConformance(t *testing.T) {
	t.Parallel()
	storagetest.Run(t, func(*testing.T) storagetest.Subject {
		s := &subject{}
		s.Store = storagetest.NewStore(s.Now)
		return s
	})
}

// subject is a store in memory and the fixture of the conformance suite.
type subject struct {
	*storagetest.Store
	// passed is how much time Pass has let pass, in nanoseconds.
	passed   atomic.Int64
	webhooks map[hook.Profile][]hook.WebhookID
}

func (s *subject) Now() time.Time { return time.Now().Add(time.Duration(s.passed.Load())) }

func (s *subject) Pass(_ *testing.T, d time.Duration) { s.passed.Add(int64(d)) }

func (s *subject) AddWebhook(_ *testing.T, change func(*hook.Webhook)) hook.WebhookID {
	var profile hook.Profile
	id := s.Store.AddWebhook("https://example.com/hooks", func(w *hook.Webhook) {
		w.Profile, w.Health = hook.ProfileStandard, hook.HealthHealthy
		if change != nil {
			change(w)
		}
		profile = w.Profile
	})
	if s.webhooks == nil {
		s.webhooks = map[hook.Profile][]hook.WebhookID{}
	}
	s.webhooks[profile] = append(s.webhooks[profile], id)
	return id
}

func (s *subject) UpdateWebhook(_ *testing.T, id hook.WebhookID, change func(*hook.Webhook)) {
	s.ChangeWebhook(id, change)
}

func (s *subject) Suspend(_ *testing.T, suspend bool) { s.SuspendTenant(suspend) }

func (s *subject) RemoveWebhook(_ *testing.T, id hook.WebhookID) { s.DeleteWebhook(id) }

func (s *subject) ReadWebhook(_ *testing.T, id hook.WebhookID) hook.Webhook { return *s.Webhook(id) }

func (s *subject) Publish(_ *testing.T, profile hook.Profile, data string) hook.EventID {
	return s.Store.Publish("user.created", data, s.webhooks[profile]...).EventID
}

func (s *subject) PublishEarlier(*testing.T) hook.EventID {
	return s.Store.Publish("user.created", `{}`).EventID
}

func (s *subject) AddTest(_ *testing.T, webhook hook.WebhookID) hook.DeliveryID {
	return s.Test("user.created", `{}`, webhook).ID
}

func (s *subject) RemoveTest(_ *testing.T, id hook.DeliveryID) { s.DropTest(id) }

func (s *subject) ReadDelivery(_ *testing.T, id hook.DeliveryID) hook.Delivery { return s.Shown(id) }

func (s *subject) ReadLog(_ *testing.T, id hook.DeliveryID) []hook.Attempt { return s.Log(id) }

func (s *subject) AddReplay(_ *testing.T, webhook hook.WebhookID, rate int) hook.ReplayID {
	return s.Store.AddReplay(webhook, rate)
}

func (s *subject) AddReplayOver(_ *testing.T, webhooks []hook.WebhookID, rate int) hook.ReplayID {
	return s.Store.AddReplayOver(webhooks, rate)
}

func (s *subject) UpdateReplay(_ *testing.T, id hook.ReplayID, change func(*hook.Replay)) {
	s.ChangeReplay(id, change)
}
