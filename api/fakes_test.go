package api_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// dispatcher records the starts it is given.
type dispatcher struct {
	mu     sync.Mutex
	starts []hook.Start
	drains []hook.WebhookID
	// replays has the replays that were started.
	replays []hook.ReplayID
	// deletions has the tenants whose deletion was started.
	deletions []hook.TenantID
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

func (d *dispatcher) DeleteTenant(tenant hook.TenantID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deletions = append(d.deletions, tenant)
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

// sender stores outcome as the outcome of every delivery it sends, or fails with err.
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

// metrics records the counts.
type metrics struct {
	mu      sync.Mutex
	seen    []string
	refused map[hook.Kind]int
}

func (m *metrics) Request(operation string, status int, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, fmt.Sprintf("%s %d", operation, status))
	if took <= 0 {
		m.seen = append(m.seen, "in no time")
	}
}

// Refused counts refused publishes apart from requests.
func (m *metrics) Refused(reason hook.Kind, events int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refused == nil {
		m.refused = map[hook.Kind]int{}
	}
	m.refused[reason] += events
}

func (m *metrics) all() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.seen)
}
