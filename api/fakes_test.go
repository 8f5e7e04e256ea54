package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/storage"
)

// dispatcher records what it is given.
type dispatcher struct {
	mu     sync.Mutex
	starts []hook.Start
	drains []hook.WebhookID
	// replays are those that were begun.
	replays []hook.ReplayID
}

func (d *dispatcher) Dispatch(s hook.Start) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.starts = append(d.starts, s)
}

func (d *dispatcher) Drain(webhook hook.WebhookID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drains = append(d.drains, webhook)
}

func (d *dispatcher) Replay(replay hook.ReplayID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.replays = append(d.replays, replay)
}

func (d *dispatcher) events() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	ids := make([]string, 0, len(d.starts))
	for _, s := range d.starts {
		ids = append(ids, s.EventID.String())
	}
	return ids
}

// sender records the outcome it is told to as the outcome of every sending, or
// fails without one.
type sender struct {
	store   *storage.Store
	outcome hook.Attempt
	err     error
	wait    func(ctx context.Context) error // nil does not wait
	sent    []hook.Delivery
}

func (s *sender) Send(ctx context.Context, d hook.Delivery) error {
	s.sent = append(s.sent, d)
	if s.err != nil {
		return s.err
	}
	if s.wait != nil {
		if err := s.wait(ctx); err != nil {
			return err
		}
	}
	a := s.outcome
	a.Manual = !d.Test || d.Attempts > 0 // as activities do
	return record(ctx, s.store, d.ID, a)
}

// record judges and stores an attempt as activities do.
func record(ctx context.Context, store *storage.Store, id hook.DeliveryID, a hook.Attempt) error {
	rand.Read(a.ID[:]) // never fails since Go 1.24
	job, err := store.Job(ctx, id)
	if err != nil {
		return err
	}
	_, err = store.Record(ctx, []hook.Record{hook.Conclude(hook.Policy{Schedule: hook.DefaultSchedule()}, &job, a)})
	return err
}

// destinations refuses one URL.
type destinations struct{ url string }

func (d *destinations) CanonicalURL(url string) string {
	return strings.Replace(url, "MÜNCHEN.test", "xn--mnchen-3ya.test", 1)
}

func (d *destinations) CheckURL(url string) error {
	if url == d.url {
		return errors.New("is not an allowed destination")
	}
	return nil
}

// metrics records what is counted.
type metrics struct {
	mu   sync.Mutex
	seen []string
}

func (m *metrics) Request(operation string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, fmt.Sprintf("%s %d", operation, status))
	if took <= 0 {
		m.seen = append(m.seen, "in no time")
	}
}

func (m *metrics) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}

// faulty is a store whose n-th call fails, authentication not counted.
type faulty struct {
	api.Store
	mu    sync.Mutex
	calls int
	at    int
	err   error
}

// setupFaulty is setup with a store that can be made to fail.
func setupFaulty(t *testing.T) (*fixture, *faulty) {
	t.Helper()
	store := &faulty{}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store = store
	})
	return f, store
}

func (s *faulty) arm(at int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls, s.at, s.err = 0, at, err
}

// failed reports whether the call that fails has been made.
func (s *faulty) failed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at > 0 && s.calls >= s.at
}

func (s *faulty) next() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if s.calls == s.at {
		return s.err
	}
	return nil
}

func (s *faulty) CreateWebhook(ctx context.Context, w hook.Webhook) (hook.Webhook, error) {
	if err := s.next(); err != nil {
		return hook.Webhook{}, err
	}
	return s.Store.CreateWebhook(ctx, w)
}

func (s *faulty) Webhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) (hook.Webhook, error) {
	if err := s.next(); err != nil {
		return hook.Webhook{}, err
	}
	return s.Store.Webhook(ctx, tenant, id)
}

func (s *faulty) Webhooks(ctx context.Context, tenant hook.TenantID, f hook.WebhookFilter, p hook.Page) ([]hook.Webhook, bool, error) {
	if err := s.next(); err != nil {
		return nil, false, err
	}
	return s.Store.Webhooks(ctx, tenant, f, p)
}

func (s *faulty) WebhookNamed(ctx context.Context, tenant hook.TenantID, cache, name string) (hook.WebhookID, error) {
	if err := s.next(); err != nil {
		return hook.WebhookID{}, err
	}
	return s.Store.WebhookNamed(ctx, tenant, cache, name)
}

func (s *faulty) UpdateWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID, change func(*hook.Webhook) error) (hook.Webhook, error) {
	if err := s.next(); err != nil {
		return hook.Webhook{}, err
	}
	return s.Store.UpdateWebhook(ctx, tenant, id, change)
}

func (s *faulty) SigningKeys(ctx context.Context, tenant hook.TenantID) ([]hook.SigningKey, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.SigningKeys(ctx, tenant)
}

func (s *faulty) DeleteWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) error {
	if err := s.next(); err != nil {
		return err
	}
	return s.Store.DeleteWebhook(ctx, tenant, id)
}

func (s *faulty) EventTypes(ctx context.Context, tenant hook.TenantID, p hook.NamePage) ([]hook.EventType, bool, error) {
	if err := s.next(); err != nil {
		return nil, false, err
	}
	return s.Store.EventTypes(ctx, tenant, p)
}

func (s *faulty) EventTypeNames(ctx context.Context, tenant hook.TenantID) ([]string, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.EventTypeNames(ctx, tenant)
}

func (s *faulty) EventType(ctx context.Context, tenant hook.TenantID, name string) (hook.EventType, error) {
	if err := s.next(); err != nil {
		return hook.EventType{}, err
	}
	return s.Store.EventType(ctx, tenant, name)
}

func (s *faulty) LookUpEventTypes(ctx context.Context, tenant hook.TenantID, names []string) ([]string, map[string]hook.SchemaHash, error) {
	if err := s.next(); err != nil {
		return nil, nil, err
	}
	return s.Store.LookUpEventTypes(ctx, tenant, names)
}

func (s *faulty) PutEventType(ctx context.Context, tenant hook.TenantID, t hook.NewEventType) (hook.EventType, bool, error) {
	if err := s.next(); err != nil {
		return hook.EventType{}, false, err
	}
	return s.Store.PutEventType(ctx, tenant, t)
}

func (s *faulty) Publish(ctx context.Context, p hook.Publication) (hook.Accepted, error) {
	if err := s.next(); err != nil {
		return hook.Accepted{}, err
	}
	return s.Store.Publish(ctx, p)
}

func (s *faulty) PublishAll(ctx context.Context, list []hook.Publication) ([]hook.Accepted, []error) {
	if err := s.next(); err != nil {
		return make([]hook.Accepted, len(list)), slices.Repeat([]error{err}, len(list))
	}
	return s.Store.PublishAll(ctx, list)
}

func (s *faulty) Event(ctx context.Context, tenant hook.TenantID, id hook.EventID) (hook.Event, error) {
	if err := s.next(); err != nil {
		return hook.Event{}, err
	}
	return s.Store.Event(ctx, tenant, id)
}

func (s *faulty) Events(ctx context.Context, tenant hook.TenantID, f hook.EventFilter, p hook.Page) ([]hook.Event, *[16]byte, error) {
	if err := s.next(); err != nil {
		return nil, nil, err
	}
	return s.Store.Events(ctx, tenant, f, p)
}

func (s *faulty) NotDeliveredTo(ctx context.Context, e hook.Event, limit int) ([]hook.NotDelivered, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.NotDeliveredTo(ctx, e, limit)
}

func (s *faulty) Delivery(ctx context.Context, tenant hook.TenantID, id hook.DeliveryID) (hook.Delivery, error) {
	if err := s.next(); err != nil {
		return hook.Delivery{}, err
	}
	return s.Store.Delivery(ctx, tenant, id)
}

func (s *faulty) LoggedWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) (hook.Logged, error) {
	if err := s.next(); err != nil {
		return hook.Logged{}, err
	}
	return s.Store.LoggedWebhook(ctx, tenant, id)
}

func (s *faulty) LoggedWebhookNamed(ctx context.Context, tenant hook.TenantID, cache, name string) (hook.Logged, error) {
	if err := s.next(); err != nil {
		return hook.Logged{}, err
	}
	return s.Store.LoggedWebhookNamed(ctx, tenant, cache, name)
}

func (s *faulty) Deliveries(ctx context.Context, w hook.WebhookID, f hook.DeliveryFilter, p hook.Page) ([]hook.Delivery, *[16]byte, error) {
	if err := s.next(); err != nil {
		return nil, nil, err
	}
	return s.Store.Deliveries(ctx, w, f, p)
}

func (s *faulty) DeliveriesOfEvent(ctx context.Context, e hook.EventID, limit int) ([]hook.Delivery, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.DeliveriesOfEvent(ctx, e, limit)
}

func (s *faulty) Replays(ctx context.Context, tenant hook.TenantID, webhook *hook.WebhookID, p hook.Page) ([]hook.Replay, bool, error) {
	if err := s.next(); err != nil {
		return nil, false, err
	}
	return s.Store.Replays(ctx, tenant, webhook, p)
}

func (s *faulty) Replay(ctx context.Context, tenant hook.TenantID, id hook.ReplayID) (hook.Replay, error) {
	if err := s.next(); err != nil {
		return hook.Replay{}, err
	}
	return s.Store.Replay(ctx, tenant, id)
}

func (s *faulty) UpdateReplay(ctx context.Context, tenant hook.TenantID, id hook.ReplayID, change func(*hook.Replay) error) (hook.Replay, error) {
	if err := s.next(); err != nil {
		return hook.Replay{}, err
	}
	return s.Store.UpdateReplay(ctx, tenant, id, change)
}

func (s *faulty) Attempts(ctx context.Context, id hook.DeliveryID) ([]hook.Attempt, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.Attempts(ctx, id)
}

func (s *faulty) CreateTest(ctx context.Context, w hook.Webhook, p hook.Publication) (hook.Delivery, error) {
	if err := s.next(); err != nil {
		return hook.Delivery{}, err
	}
	return s.Store.CreateTest(ctx, w, p)
}

func (s *faulty) CreateKeyWithin(ctx context.Context, k hook.APIKey, text hook.Secret, most int) (hook.APIKey, error) {
	if err := s.next(); err != nil {
		return hook.APIKey{}, err
	}
	return s.Store.CreateKeyWithin(ctx, k, text, most)
}

func (s *faulty) KeptAnswer(ctx context.Context, o hook.RequestKey) ([]byte, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.KeptAnswer(ctx, o)
}

func (s *faulty) Repeated(ctx context.Context, list []hook.Publication) ([]hook.Repeat, error) {
	if err := s.next(); err != nil {
		return nil, err
	}
	return s.Store.Repeated(ctx, list)
}

func (s *faulty) Keys(ctx context.Context, tenant hook.TenantID, p hook.Page) ([]hook.APIKey, bool, error) {
	if err := s.next(); err != nil {
		return nil, false, err
	}
	return s.Store.Keys(ctx, tenant, p)
}

func (s *faulty) RevokeKey(ctx context.Context, tenant hook.TenantID, id hook.KeyID, byOperator bool) error {
	if err := s.next(); err != nil {
		return err
	}
	return s.Store.RevokeKey(ctx, tenant, id, byOperator)
}

func (s *faulty) CreateTenant(ctx context.Context, t hook.Tenant, text hook.Secret) (hook.Tenant, hook.APIKey, error) {
	if err := s.next(); err != nil {
		return hook.Tenant{}, hook.APIKey{}, err
	}
	return s.Store.CreateTenant(ctx, t, text)
}

func (s *faulty) Tenants(ctx context.Context, p hook.Page) ([]hook.Tenant, bool, error) {
	if err := s.next(); err != nil {
		return nil, false, err
	}
	return s.Store.Tenants(ctx, p)
}
