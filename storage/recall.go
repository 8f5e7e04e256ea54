package storage

import (
	"context"
	"crypto/sha256"
	"sync"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// What lets publications in, their API key and their event type, seldom changes, and to
// look it up takes two round trips, each of which waits for its turn. So what was found
// the last time is kept, and the statement that stores an event stores it only if that
// still holds (hook.Premises): a key that is revoked is refused as at once as before.

// mostRecalled bounds what is kept of each kind; when there is more, all of it is
// forgotten.
const mostRecalled = 10_000

// memory is what was found the last time. It may be wrong at any time.
type memory struct {
	mu    sync.Mutex
	keys  map[[sha256.Size]byte]hook.APIKey
	types map[typeName]hook.SchemaHash
}

// typeName is one of a tenant's own types.
type typeName struct {
	tenant hook.TenantID
	name   string
}

// RecalledKey is the key with this text as it was found the last time. What it lets in
// must have the text among its premises.
func (s *Store) RecalledKey(text hook.Secret) (hook.APIKey, bool) {
	s.recalled.mu.Lock()
	defer s.recalled.mu.Unlock()
	key, ok := s.recalled.keys[[sha256.Size]byte(hashKey(text))]
	return key, ok
}

// RecalledEventType is the hash of the schema that one of the tenant's own types had
// the last time, the zero value for none. It must be among the premises of what it lets in.
func (s *Store) RecalledEventType(tenant hook.TenantID, name string) (hook.SchemaHash, bool) {
	s.recalled.mu.Lock()
	defer s.recalled.mu.Unlock()
	hash, ok := s.recalled.types[typeName{tenant, name}]
	return hash, ok
}

func (m *memory) keepKey(hash [sha256.Size]byte, k *hook.APIKey) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.keys = keep(m.keys, hash, *k)
}

func (m *memory) keepType(t typeName, schema hook.SchemaHash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.types = keep(m.types, t, schema)
}

func keep[K comparable, V any](list map[K]V, k K, v V) map[K]V {
	if _, ok := list[k]; list == nil || !ok && len(list) >= mostRecalled {
		list = make(map[K]V, 1)
	}
	list[k] = v
	return list
}

// forget drops what was wrong, so that the next does not run into it.
func (m *memory) forget(p *hook.Publication) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.keys, [sha256.Size]byte(hashKey(p.Premises.Key)))
	delete(m.types, typeName{p.TenantID, p.Type})
}

// premisesHold are the conditions of an event e; the offsets have each looked up by its
// index, rather than all of them read.
const premisesHold = `
	(e.key is null or exists (
		select from api_keys k where k.hash = e.key and k.revoked_at is null and (k.expires_at is null or k.expires_at > now()) offset 0))
	and (not e.listed or exists (
		select from event_types t where t.tenant_id = e.tenant_id and t.name = e.type and t.schema_hash is not distinct from e.schema offset 0))`

// premises turns what events rely on into arrays.
func premises(list []*publishing) (keys [][]byte, listed []bool, schemas [][]byte) {
	for _, p := range list {
		var key, schema []byte
		if p.Premises.Key != "" {
			key = hashKey(p.Premises.Key)
		}
		if p.Premises.Schema != (hook.SchemaHash{}) {
			schema = p.Premises.Schema[:]
		}
		keys, listed, schemas = append(keys, key), append(listed, p.Premises.Listed), append(schemas, schema)
	}
	return keys, listed, schemas
}

// outdated refuses an event whose premises no longer hold.
func (p *publishing) outdated() {
	p.refused = &hook.Error{Kind: hook.KindPrecondition, Message: "the API key or the event type has changed just now"}
}

// checkPremises refuses those of events whose premises don't hold, and returns the
// others. It is for those under idempotency keys, which must not be taken by what is
// not stored.
func checkPremises(ctx context.Context, q querier, list []*publishing) ([]*publishing, error) {
	var relying []*publishing
	for _, p := range list {
		if p.Premises != (hook.Premises{}) {
			relying = append(relying, p)
		}
	}
	if len(relying) == 0 {
		return list, nil
	}
	keys, listed, schemas := premises(relying)
	var tenants [][16]byte
	var types []string
	for _, p := range relying {
		tenants, types = append(tenants, p.TenantID), append(types, p.Type)
	}
	rows, _ := q.Query(ctx, `
		select n from unnest($1::uuid[], $2::text[], $3::bytea[], $4::bool[], $5::bytea[]) with ordinality as e(tenant_id, type, key, listed, schema, n)
		where not (`+premisesHold+`)`, tenants, types, keys, listed, schemas)
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
