package storage

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// What lets publications in, their API key and their event type, seldom changes, and to
// look it up takes two round trips, each of which waits for its turn. So what was found
// the last time is kept, and the statement that stores an event stores it only if that
// still holds (hook.Premises): a key that is revoked is refused as at once as before.

// maxCached bounds what is kept of each kind; when there is more, all of it is
// forgotten.
const maxCached = 10_000

// cacheFor is how long it is kept, for what the premises don't tell: a key's scopes
// never change, unless somebody changes them in the database.
const cacheFor = time.Minute

// publishCache is what was found the last time. It may be wrong at any time.
type publishCache struct {
	mu    sync.Mutex
	keys  cacheMap[hook.KeyHash, hook.APIKey]
	types cacheMap[typeName, hook.SchemaHash]
	// fanOuts is how many deliveries an event of a type, or a message of a topic, had.
	fanOuts cacheMap[topicName, int]
	// excessive are tenants of which an event had too many deliveries: those of topics that
	// are not known may have as well.
	excessive cacheMap[hook.TenantID, struct{}]
}

// typeName is one of a tenant's own types.
type typeName struct {
	tenant hook.TenantID
	name   string
}

// topicName is what subscriptions are to.
type topicName struct {
	tenant      hook.TenantID
	cache, name string
}

type cacheMap[K comparable, V any] map[K]cacheEntry[V]

type cacheEntry[V any] struct {
	value V
	since time.Time
}

func (r cacheMap[K, V]) get(k K) (V, bool) {
	found, ok := r[k]
	return found.value, ok && time.Since(found.since) < cacheFor
}

func (r *cacheMap[K, V]) put(k K, v V) {
	if _, ok := (*r)[k]; *r == nil || !ok && len(*r) >= maxCached {
		*r = make(cacheMap[K, V], 1)
	}
	(*r)[k] = cacheEntry[V]{v, time.Now()}
}

// CachedKey returns the API key with this hash as the last look-up found it. A publish
// that relies on it must have the hash among its preconditions.
func (s *Store) CachedKey(hash hook.KeyHash) (hook.APIKey, bool) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.keys.get(hash)
}

// CachedEventType returns the hash of the schema of one of the tenant's own types as the
// last look-up found it, the zero value for none. A publish that relies on it must have the
// hash among its preconditions.
func (s *Store) CachedEventType(tenant hook.TenantID, name string) (hook.SchemaHash, bool) {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	return s.cache.types.get(typeName{tenant, name})
}

func (m *publishCache) putKey(hash hook.KeyHash, k *hook.APIKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys.put(hash, *k)
}

func (m *publishCache) putType(t typeName, schema hook.SchemaHash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.types.put(t, schema)
}

// forget drops what was wrong, so that the next does not run into it.
func (m *publishCache) forget(p *hook.Publication) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, p.Preconditions.Key)
	delete(m.types, typeName{p.TenantID, p.Type})
}

// What a publication weighs in its statement.
const (
	// minFanOut is the work of storing an event that has few deliveries or none.
	minFanOut = 10
	// unknownFanOut lets few enough share a statement that each may have thousands.
	unknownFanOut = 100
)

// fanOut is how many deliveries the publication will about have: as many as the one
// before it.
func (s *Store) fanOut(p *publishing) int {
	s.cache.mu.Lock()
	defer s.cache.mu.Unlock()
	// However old that is: it costs nothing but time to be wrong.
	found, ok := s.cache.fanOuts[topicName{p.TenantID, p.Cache, p.Type}]
	if !ok {
		if _, excessive := s.cache.excessive.get(p.TenantID); excessive {
			return maxStatementDeliveries + 1
		}
		return unknownFanOut
	}
	return max(found.value, minFanOut)
}

// putFanOuts notes how many deliveries those that are stored have.
func (m *publishCache) putFanOuts(list []*publishing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range list {
		if p.refused == nil {
			m.fanOuts.put(topicName{p.TenantID, p.Cache, p.Type}, p.accepted.Event.Deliveries)
		}
	}
}

// preconditionsHold are the conditions of an event e; the offsets have each looked up by its
// index, rather than all of them read.
const preconditionsHold = `
	(e.key is null or exists (
		select from api_keys k
		where k.hash = e.key and k.tenant_id = e.tenant_id and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) offset 0))
	and (not e.listed or exists (
		select from event_types t where t.tenant_id = e.tenant_id and t.name = e.type and t.schema_hash is not distinct from e.schema offset 0))`

// premises turns what events rely on into arrays.
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

// outdated refuses an event whose premises no longer hold.
func (p *publishing) outdated() {
	p.refused = &hook.Error{Kind: hook.KindPrecondition, Message: "the API key or the event type has changed just now"}
}

// checkPreconditions refuses those of events whose premises don't hold, and returns the
// others. It is for those under idempotency keys, which must not be taken by what is
// not stored.
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
		where not (`+preconditionsHold+`)`, tenants, types, keys, listed, schemas)
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
