package storagetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Names of the store's operations, which Fail gets.
const (
	OpOutstanding = "Outstanding"
	OpRecord      = "Record"
	OpCancel      = "CancelDeliveries"
	OpJob         = "Job"
	OpStates      = "States"
	OpClaim       = "ClaimDeliveries"
	OpRelease     = "ReleaseDeliveries"
	OpDrop        = "DropDeliveries"
	OpBeginTest   = "BeginTest"
	OpDefer       = "Defer"
	OpDeferred    = "Deferred"
	OpExpire      = "ExpireDeferred"
	OpSetBreaker  = "SetBreaker"
	OpSleeps      = "DrainSleeps"
	OpEnds        = "DrainEnds"
	OpDrain       = "Drain"
	OpPayloads    = "Payloads"
	OpUnreadable  = "ExpireUnreadable"

	OpVersions = "Versions"

	OpDeletionStep   = "DeletionStep"
	OpDeletionSleeps = "DeletionSleeps"

	OpReplayStep   = "ReplayStep"
	OpReplaySleeps = "ReplaySleeps"

	OpHeartbeat  = "Heartbeat"
	OpEndProcess = "EndProcess"
	OpAlive      = "ProcessAlive"
)

// Store is a delivery.Store and delivery.Lookup in memory. It must be made by NewStore and is safe for concurrent
// use.
type Store struct {
	now func() time.Time
	// Fail, if set before use, is called with the name of every operation before it runs. If it returns an error,
	// the operation fails with it.
	Fail func(op string) error

	mu         sync.Mutex
	ids        uint64
	events     map[hook.EventID]hook.Event
	webhooks   map[hook.WebhookID]*webhook
	deliveries map[hook.DeliveryID]*hook.Delivery
	order      []hook.DeliveryID
	log        []hook.Attempt
	batches    []int
	loads      [][]int
	slices     map[[2]int]bool
	claims     map[hook.DeliveryID]hook.Claim
	drains     map[hook.WebhookID]*sleeper
	drained    []hook.WebhookID
	replays    map[hook.ReplayID]*replay
	// processes has the last heartbeat of each process.
	processes map[hook.ProcessID]time.Time
	// suspendedAt is when the tenant was suspended; nil if it is active. deletion is its deletion; nil if there is none.
	suspendedAt *time.Time
	deletion    *deletion
}

// NewStore returns an empty store on the clock.
func NewStore(now func() time.Time) *Store {
	return &Store{
		now: now, events: map[hook.EventID]hook.Event{}, webhooks: map[hook.WebhookID]*webhook{},
		deliveries: map[hook.DeliveryID]*hook.Delivery{}, slices: map[[2]int]bool{},
		claims: map[hook.DeliveryID]hook.Claim{}, drains: map[hook.WebhookID]*sleeper{},
		replays: map[hook.ReplayID]*replay{}, processes: map[hook.ProcessID]time.Time{},
	}
}

// nextID returns a new id; the caller holds the lock.
func (s *Store) nextID() (id [16]byte) {
	s.ids++
	binary.BigEndian.PutUint64(id[8:], s.ids)
	id[6], id[8] = 0x70, 0x80
	return id
}

// AddWebhook adds an active webhook with the URL; change, if not nil, may alter it.
func (s *Store) AddWebhook(url string, change func(*hook.Webhook)) hook.WebhookID {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := hook.Webhook{
		ID: s.nextID(), TenantID: hook.DefaultTenant(), URL: url, Events: []string{"*"}, Secret: "secret", Active: true,
		CreatedAt: s.now(), UpdatedAt: s.now(), Version: 1, SuspendedAt: s.suspendedAt,
	}
	if change != nil {
		change(&w)
	}
	w.Normalize()
	s.webhooks[w.ID] = &webhook{Webhook: w}
	return w.ID
}

// Publish stores an event with one delivery, due at once, for each webhook.
func (s *Store) Publish(eventType, data string, webhooks ...hook.WebhookID) hook.Start {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := hook.Event{
		ID: s.nextID(), TenantID: hook.DefaultTenant(), Type: eventType, Data: []byte(data), CreatedAt: s.now(),
		Deliveries: len(webhooks),
	}
	s.events[e.ID] = e
	start := hook.Start{EventID: e.ID, TenantID: e.TenantID, EventType: e.Type, Deliveries: len(webhooks), Bytes: len(data)}
	for _, id := range webhooks {
		s.deliver(e, id, false)
		if len(start.Targets) < hook.MaxTargets {
			w := s.webhooks[id]
			start.Targets = append(start.Targets, hook.Target{WebhookID: id, Host: w.Host()})
		}
	}
	return start
}

// Test stores a test of the webhook and returns its delivery (S11).
func (s *Store) Test(eventType, data string, id hook.WebhookID) hook.Delivery {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := hook.Event{
		ID: s.nextID(), TenantID: hook.DefaultTenant(), Type: eventType, Data: []byte(data), Test: true,
		CreatedAt: s.now(), Deliveries: 1,
	}
	s.events[e.ID] = e
	return *s.deliver(e, id, true)
}

func (s *Store) deliver(e hook.Event, id hook.WebhookID, test bool) *hook.Delivery {
	now := s.now()
	d := &hook.Delivery{
		ID: s.nextID(), EventID: e.ID, WebhookID: id, TenantID: e.TenantID, EventType: e.Type, Test: test,
		State: hook.StatePending, NextAttemptAt: &now, CreatedAt: now, UpdatedAt: now,
	}
	if w := s.webhooks[id]; w != nil {
		generation := w.Generation
		d.Generation = &generation
	}
	s.deliveries[d.ID] = d
	s.order = append(s.order, d.ID)
	return d
}

// revoked returns why a delivery must not be sent any more, in storage's words; "" if it may be sent or has ended.
func (s *Store) revoked(d *hook.Delivery) string {
	job := s.job(d)
	if !d.Outstanding() || d.Test {
		return ""
	}
	return job.Canceled()
}

// shown returns the delivery as a client sees it; the caller holds the lock.
func (s *Store) shown(d *hook.Delivery) hook.Delivery {
	shown := *d
	if reason := s.revoked(d); reason != "" {
		shown.State, shown.Error, shown.NextAttemptAt = hook.StateCanceled, reason, nil
	}
	if w := s.webhooks[d.WebhookID]; w != nil {
		var probeAt *time.Time
		if drain := s.drains[w.ID]; drain != nil {
			probeAt = drain.probeAt
		}
		shown.Waits = hook.WaitOf(&shown, &w.Webhook, probeAt, s.now())
	}
	return shown
}

// Versions returns the versions of the webhooks that exist.
func (s *Store) Versions(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	if err := s.failing(ctx, OpVersions); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	versions := map[hook.WebhookID]int64{}
	for _, id := range webhooks {
		if w := s.webhooks[id]; w != nil {
			versions[id] = w.Version
		}
	}
	return versions, nil
}

func (s *Store) cancel(d *hook.Delivery, reason string) {
	d.State, d.Error, d.NextAttemptAt, d.UpdatedAt = hook.StateCanceled, reason, nil, s.now()
}

func (s *Store) failing(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return hook.Unavailable("the store", fmt.Errorf("%s: %w", op, context.Cause(ctx)))
	}
	if s.Fail == nil {
		return nil
	}
	return s.Fail(op)
}
