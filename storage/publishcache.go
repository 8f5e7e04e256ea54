package storage

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// The facts that a publish depends on, its API key and its event type, seldom change, but looking them up takes two
// round trips, each of which waits for its turn. So the last result is cached, and the statement that stores an event
// stores it only if the cached facts still hold (hook.Preconditions): a revoked key is refused as promptly as without
// the cache.

// maxCached bounds the entries of each kind. The entry that was used least recently makes room for a new one.
const maxCached = 10_000

// cacheFor is the lifetime of an entry. It matters for facts that the preconditions don't cover: a key's scopes,
// which change only if somebody changes them in the database.
const cacheFor = time.Minute

// publishCache holds recent look-ups of API keys, tenants and event types. Entries may be stale; every use is re-checked when
// the event is stored.
type publishCache struct {
	mu    sync.Mutex
	keys  cacheMap[hook.KeyHash, hook.APIKey]
	types cacheMap[typeName, hook.SchemaHash]
	// rates are the tenants' own limits of events per second, nil for none (K7).
	rates cacheMap[hook.TenantID, *int]
	// tenants are the ids of tenants by how requests name them: by id or external id.
	tenants cacheMap[string, hook.TenantID]
	// fanOuts is how many deliveries the last event of a type, or message of a topic, had.
	fanOuts cacheMap[topicName, int]
	// excessive are tenants of which an event had too many deliveries. Their unknown topics may have too many as
	// well.
	excessive cacheMap[hook.TenantID, struct{}]
}

// typeName identifies one of a tenant's own event types, or a shared one.
type typeName struct {
	tenant hook.TenantID
	name   string
}

// sharedType identifies a shared event type (K6). All tenants have one entry, so that many tenants need no more room than
// one.
func sharedType(name string) typeName { return typeName{name: name} }

// topicName identifies what webhooks subscribe to.
type topicName struct {
	tenant      hook.TenantID
	cache, name string
}

// cacheMap keeps the maxCached entries that were used last. The zero value is empty and ready.
type cacheMap[K comparable, V any] struct {
	entries *simplelru.LRU[K, cacheEntry[V]] // nil before the first entry
}

type cacheEntry[V any] struct {
	value V
	since time.Time
}

// get returns the value of an entry that is younger than cacheFor.
func (m *cacheMap[K, V]) get(k K) (V, bool) {
	found, ok := m.find(k)
	return found.value, ok && time.Since(found.since) < cacheFor
}

// find returns an entry of any age.
func (m *cacheMap[K, V]) find(k K) (entry cacheEntry[V], ok bool) {
	if m.entries == nil {
		return entry, false
	}
	return m.entries.Get(k)
}

func (m *cacheMap[K, V]) put(k K, v V) {
	if m.entries == nil {
		m.entries, _ = simplelru.NewLRU[K, cacheEntry[V]](maxCached, nil) // it fails for a size of 0 only
	}
	m.entries.Add(k, cacheEntry[V]{v, time.Now()})
}

func (m *cacheMap[K, V]) drop(k K) {
	if m.entries != nil {
		m.entries.Remove(k)
	}
}

// CachedKey returns the API key with this hash as the last look-up found it. A publish
// that relies on it must have the hash among its preconditions.
func (s *Store) CachedKey(hash hook.KeyHash) (hook.APIKey, bool) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.keys.get(hash)
}

// CachedTenant returns the tenant that a request names, as the last look-up found it. A publish for it must have its
// key among its preconditions.
func (s *Store) CachedTenant(named string) (hook.TenantID, bool) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.tenants.get(named)
}

// CachedPublishRate returns the tenant's own limit of events per second as the last look-up found it, nil for none (K7).
func (s *Store) CachedPublishRate(tenant hook.TenantID) (*int, bool) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.rates.get(tenant)
}

// CachedEventType returns the hash of the schema of one of the tenant's types, its own or a shared one, as the
// last look-up found it, the zero value for none. A publish that relies on it must have the
// hash among its preconditions.
func (s *Store) CachedEventType(tenant hook.TenantID, name string) (hook.SchemaHash, bool) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	if own, ok := s.cache.types.get(typeName{tenant, name}); ok {
		return own, true
	}
	// The tenant may have a type of its own that is not cached. Then the precondition does not hold, unless both have the
	// same schema.
	return s.cache.types.get(sharedType(name))
}

func (m *publishCache) putKey(hash hook.KeyHash, k *hook.APIKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys.put(hash, *k)
}

// putTenant stores which tenant a request names; the zero value for none.
func (m *publishCache) putTenant(named string, id hook.TenantID) {
	if named == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if id == (hook.TenantID{}) {
		m.tenants.drop(named)
		return
	}
	m.tenants.put(named, id)
}

// dropKey forgets a key.
func (m *publishCache) dropKey(hash hook.KeyHash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys.drop(hash)
}

func (m *publishCache) putType(t typeName, schema hook.SchemaHash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.types.put(t, schema)
}

func (m *publishCache) putRate(tenant hook.TenantID, perSecond *int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rates.put(tenant, perSecond)
}

// forget drops the entries that a publication relied on, after they turned out to be stale.
func (m *publishCache) forget(p *hook.Publication) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys.drop(p.Preconditions.Key)
	m.types.drop(typeName{p.TenantID, p.Type})
	m.types.drop(sharedType(p.Type))
}

// Weights of a publication in its statement.
const (
	// minFanOut is the work of storing an event with few deliveries or none.
	minFanOut = 10
	// unknownFanOut is the assumption for a topic without an entry. It lets so few events share a statement that each
	// may have thousands of deliveries.
	unknownFanOut = 100
)

// fanOut estimates how many deliveries the publication will have: as many as the last one of its topic.
func (s *Store) fanOut(p *publishing) int {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	// An old entry is good enough: a wrong estimate only costs time.
	found, ok := s.cache.fanOuts.find(topicName{p.TenantID, p.Cache, p.Type})
	if !ok {
		if _, excessive := s.cache.excessive.get(p.TenantID); excessive {
			return maxStatementDeliveries + 1
		}
		return unknownFanOut
	}
	return max(found.value, minFanOut)
}

// putFanOuts stores how many deliveries the stored events have.
func (m *publishCache) putFanOuts(list []*publishing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range list {
		if p.refused == nil {
			m.fanOuts.put(topicName{p.TenantID, p.Cache, p.Type}, p.accepted.Event.Deliveries)
		}
	}
}

// preconditionsHold is the SQL condition that an event e's preconditions hold. The type is the one that the tenant knows by
// the name (K6). The offsets make the planner look up each key and type by its index instead of reading all of them.
const preconditionsHold = `
	(e.key is null or exists (
		select from api_keys k
		where k.hash = e.key and (k.tenant_id = e.tenant_id or ` + platformKey + `)
			and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) offset 0))
	and (not e.listed or exists (
		select from (select e.tenant_id, e.type as name) k cross join lateral (` + knownType + `) t
		where t.schema_hash is not distinct from e.schema offset 0))`

// tenantIsActive is the SQL condition that the tenant of an event e is active: it exists, and is neither suspended nor being
// deleted (K8). It is required of clients' events, whether or not their preconditions are cached.
const tenantIsActive = `exists (select from tenants t where t.id = e.tenant_id and t.status = 'active' offset 0)`

// preconditionArgs turns the events' preconditions into arrays.
func preconditionArgs(list []*publishing) (keys [][]byte, listed []bool, schemas [][]byte) {
	for _, p := range list {
		var key, schema []byte
		if !p.Preconditions.Key.IsZero() {
			key = p.Preconditions.Key[:]
		}
		if !p.Preconditions.Schema.IsZero() {
			schema = p.Preconditions.Schema[:]
		}
		keys, listed, schemas = append(keys, key), append(listed, p.Preconditions.Listed), append(schemas, schema)
	}
	return keys, listed, schemas
}

// outdated refuses an event whose preconditions no longer hold. explainRefusals finds out whether it is for its tenant.
func (p *publishing) outdated() {
	p.refused = &hook.Error{Kind: hook.KindPrecondition, Message: "the API key, the event type or the tenant has changed just now"}
}

// explainRefusals replaces the errors of events that were refused for their tenants: those of suspended ones, and of tenants
// that are gone or being deleted. Refusals are rare, so they and not the accepted events pay for finding out.
func (s *Store) explainRefusals(ctx context.Context, list []*publishing, errs []error) {
	var tenants [][16]byte
	var places []int
	for i := range list {
		// The outcome of an event whose caller has left belongs to its statement: only errs says which were refused.
		if hook.KindOf(errs[i]) == hook.KindPrecondition {
			tenants, places = append(tenants, list[i].TenantID), append(places, i)
		}
	}
	if len(tenants) == 0 {
		return
	}
	rows, _ := s.pool.Query(ctx, `
		select k.n, coalesce(t.status, 'deleting') from unnest($1::uuid[]) with ordinality as k(id, n)
		left join lateral (select t.status from tenants t where t.id = k.id offset 0) t on true`, tenants)
	var n int
	var status hook.TenantStatus
	// If it fails, the refusals keep their error, which tells to try again.
	_, _ = pgx.ForEachRow(rows, []any{&n, (*string)(&status)}, func() error {
		switch status {
		case hook.TenantSuspended:
			errs[places[n-1]] = hook.Suspended()
		case hook.TenantDeleting:
			errs[places[n-1]] = hook.NoTenant()
		case hook.TenantActive:
		}
		return nil
	})
}

// checkPreconditions refuses the events whose preconditions don't hold, and returns the others. It is for events with
// idempotency keys: an event that is not stored must not take its key.
func checkPreconditions(ctx context.Context, q querier, list []*publishing) ([]*publishing, error) {
	var relying []*publishing
	for _, p := range list {
		if p.Preconditions != (hook.Preconditions{}) {
			relying = append(relying, p)
		}
	}
	if len(relying) == 0 {
		return list, nil
	}
	keys, listed, schemas := preconditionArgs(relying)
	var tenants [][16]byte
	var types []string
	for _, p := range relying {
		tenants, types = append(tenants, p.TenantID), append(types, p.Type)
	}
	rows, _ := q.Query(ctx, `
		select n from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bool[], $5::bytea[]) with ordinality as e(tenant_id, type, key, listed, schema, n)
		where not (`+preconditionsHold+` and `+tenantIsActive+`)`, tenants, types, keys, listed, schemas)
	wrong, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return nil, err
	}
	for _, n := range wrong {
		relying[n-1].outdated()
	}
	var hold []*publishing
	for _, p := range list {
		if p.refused == nil {
			hold = append(hold, p)
		}
	}
	return hold, nil
}
