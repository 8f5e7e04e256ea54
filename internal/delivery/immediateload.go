package delivery

import (
	"context"
	"log/slog"
	"time"

	"grapnel/internal/hook"
)

// kick begins a load if there is something to load. m.mu is locked.
func (m *immediate) kick() {
	if m.waiting.Len() > 0 && m.loads < maxLoads && m.loaded < maxLoaded && (m.loads == 0 || m.waiting.Len() >= m.loadLimit()) {
		m.loads++
		m.running.Go(m.load)
	}
}

// loadLimit returns how many deliveries the next load may have. m.mu is locked.
func (m *immediate) loadLimit() int {
	if m.waiting.Owners() > 1 {
		return maxSharedLoad
	}
	return maxLoad
}

// load loads events that wait and begins their first attempts, until no event waits.
func (m *immediate) load() {
	for batch := m.take(); len(batch) > 0; batch = m.take() {
		begin := time.Now()
		m.begin(batch)
		if len(batch) > 1 {
			m.gather(mostOf(batch), min(time.Duration(len(batch))*gatherFor, maxGather)-time.Since(begin))
		}
	}
}

// gather waits for further events of the tenant, which has most of those that were just loaded; other tenants don't
// wait for them. Without such a tenant, all wait alike.
func (m *immediate) gather(tenant hook.TenantID, d time.Duration) {
	if !m.beginGathering(tenant) {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.hurry:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gathering = hook.TenantID{}
}

// beginGathering returns false if another tenant's event waits already.
func (m *immediate) beginGathering(tenant hook.TenantID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if tenant != (hook.TenantID{}) && m.waiting.HasOther(tenant) {
		return false
	}
	m.gathering = tenant
	select {
	case <-m.hurry: // of an earlier wait
	default:
	}
	return true
}

// mostOf returns the tenant that has more than half of the events; none if no tenant has.
func mostOf(batch []*firstAttempts) hook.TenantID {
	events := map[hook.TenantID]int{}
	for _, f := range batch {
		if tenant := f.start.TenantID; events[tenant]+1 > len(batch)/2 {
			return tenant
		}
		events[f.start.TenantID]++
	}
	return hook.TenantID{}
}

// take takes the events of the next load. With none, the load ends.
func (m *immediate) take() []*firstAttempts {
	m.mu.Lock()
	defer m.mu.Unlock()
	var batch []*firstAttempts
	deliveries, limit := 0, m.loadLimit()
	for m.loaded < maxLoaded {
		f, ok := m.waiting.Peek()
		if !ok || deliveries > 0 && deliveries+f.start.Deliveries > limit {
			break
		}
		// A run has one lease: an event of a lapsed one must not be sent under the next.
		if len(batch) > 0 && f.start.Owner != batch[0].start.Owner {
			break
		}
		m.waiting.Pop()
		deliveries += f.start.Deliveries
		batch = append(batch, f)
		m.loaded += f.start.Deliveries
	}
	if len(batch) == 0 {
		m.loads--
	}
	return batch
}

// begin loads the deliveries of events, and begins the run that makes their first attempts.
func (m *immediate) begin(batch []*firstAttempts) {
	deliveries := 0
	for _, f := range batch {
		deliveries += f.start.Deliveries
	}
	share, ok := m.engine.tryReserve(deliveries)
	if !ok {
		m.end(batch, deliveries)
		return
	}
	share.local = false
	jobs, err := m.jobs(batch)
	if err != nil {
		m.engine.log.Warn("load deliveries for immediate attempts", slog.Any("error", err))
		share.release()
		m.end(batch, deliveries)
		return
	}
	m.count(jobs)
	m.running.Go(func() { m.run(batch, deliveries, jobs, share) })
}

// jobs returns the deliveries of events. It loads those for which the accept and the kept webhooks don't suffice.
func (m *immediate) jobs(batch []*firstAttempts) ([]hook.Job, error) {
	var jobs []hook.Job
	var missing []hook.EventID
	for _, f := range batch {
		var fresh []hook.Job
		if f.start.Fresh != nil {
			fresh = f.start.Fresh.Jobs(m.webhooks.find)
		}
		if len(fresh) == 0 {
			missing = append(missing, f.start.EventID)
		}
		jobs = append(jobs, fresh...)
	}
	if len(missing) == 0 {
		return jobs, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	loaded, err := m.engine.store.Outstanding(ctx, missing, 0, 1)
	if err != nil {
		return nil, err
	}
	m.webhooks.keep(loaded)
	return append(jobs, loaded...), nil
}
