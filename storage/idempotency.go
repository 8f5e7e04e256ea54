package storage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/canonjson"
	"grapnel/internal/hook"
)

// scopedKey is a client's idempotency key within its tenant.
type scopedKey struct {
	tenant hook.TenantID
	key    string
}

func (p *publishing) scopedKey() scopedKey { return scopedKey{p.TenantID, p.IdempotencyKey} }

// claimedKeys are the idempotency keys of publications that share a transaction.
type claimedKeys struct {
	// first is the first publication with each key.
	first map[scopedKey]*publishing
	// taken are the keys that went to their first publication; others are the holders of the other keys.
	taken  map[scopedKey]bool
	others map[scopedKey]holder
	// repeated are the publications that store nothing.
	repeated []*publishing
}

// claimKeys takes the idempotency keys of the publications, and returns the publications to store: those whose key
// was free, and those without a key. Afterwards settle fills in the outcomes of the others: the holder of their key
// may be one of those stored. A second publication with a key waits here until the first has committed. Keys are
// taken in their order, so that no two transactions wait for each other.
func claimKeys(ctx context.Context, tx pgx.Tx, list []*publishing) (fresh []*publishing, c *claimedKeys, err error) {
	c = &claimedKeys{first: map[scopedKey]*publishing{}}
	for _, p := range list {
		if key := p.scopedKey(); p.IdempotencyKey != "" && c.first[key] == nil {
			c.first[key] = p
		}
	}
	if c.taken, err = insertKeys(ctx, tx, c.first); err != nil {
		return nil, nil, err
	}
	if c.others, err = c.takenElsewhere(ctx, tx, list); err != nil {
		return nil, nil, err
	}
	if len(c.taken)+len(c.others) < len(c.first) {
		if err := takeOver(ctx, tx, c.first, c.taken, c.others); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range list {
		if key := p.scopedKey(); p.IdempotencyKey == "" || c.first[key] == p && c.taken[key] {
			fresh = append(fresh, p)
		} else {
			c.repeated = append(c.repeated, p)
		}
	}
	return fresh, c, nil
}

// settle gives the repeated publications their outcomes, once the fresh ones are stored. If the first publication of
// a key was refused, because its preconditions changed after they were checked, nobody holds the key: the repeats
// have to try again.
func (c *claimedKeys) settle(ctx context.Context, tx pgx.Tx) error {
	unheld := map[scopedKey]*publishing{}
	for key := range c.taken {
		if p := c.first[key]; p.refused != nil {
			unheld[key] = p
		} else {
			c.others[key] = p.holder()
		}
	}
	for _, p := range c.repeated {
		if unheld[p.scopedKey()] != nil {
			p.outdated()
		} else {
			h := c.others[p.scopedKey()]
			p.original = &h
		}
	}
	if len(unheld) == 0 {
		return nil
	}
	return deleteKeys(ctx, tx, slices.Collect(maps.Keys(unheld)))
}

// holder is the event that holds a key, with the fingerprint of its publication.
type holder struct {
	fingerprint [sha256.Size]byte
	event       hook.Event
}

// holder returns the event as the holder of its key.
func (p *publishing) holder() holder { return holder{p.Fingerprint(), p.accepted.Event} }

// repeats makes the outcome that of the key's holder: the same event if the content is the same, and otherwise a
// conflict.
func (p *publishing) repeats(h *holder) {
	if !h.has(p.Publication) {
		p.refused = &hook.Error{Kind: hook.KindConflict, Message: "the idempotency key was used within 24 hours for an event with other content"}
		return
	}
	p.accepted = hook.Accepted{Event: h.event, Duplicate: true}
}

// has reports whether the publication has the event's content, whatever the order of members in its data.
func (h *holder) has(p *hook.Publication) bool {
	e := &h.event
	return h.fingerprint == p.Fingerprint() ||
		e.Type == p.Type && e.OrganizationID == p.OrganizationID && e.Cache == p.Cache &&
			slices.Equal(e.References, p.References) && canonjson.Equal(e.Data, p.Data)
}

// Repeated looks up the publications' idempotency keys. For each key that is taken it returns, at the publication's
// place, the accepted event or the conflict. It takes no key. A repeat of an accepted event is accepted, whatever has
// changed since (S8).
func (s *Store) Repeated(ctx context.Context, list []hook.Publication) ([]hook.Repeat, error) {
	repeats := make([]hook.Repeat, len(list))
	var asked []*publishing
	for i := range list {
		asked = append(asked, &publishing{Publication: &list[i]})
	}
	held, err := holders(ctx, s.pool, slices.DeleteFunc(slices.Clone(asked), func(p *publishing) bool { return p.IdempotencyKey == "" }))
	if err != nil {
		return nil, mapErr(fmt.Errorf("look up idempotency keys: %w", err))
	}
	for i, p := range asked {
		h, ok := held[p.scopedKey()]
		if !ok {
			continue
		}
		if p.repeats(&h); p.refused != nil {
			repeats[i].Err = p.refused
		} else {
			repeats[i].Accepted = &p.accepted
		}
	}
	return repeats, nil
}

// insertKeys takes the keys that are free or have expired.
func insertKeys(ctx context.Context, tx pgx.Tx, list map[scopedKey]*publishing) (taken map[scopedKey]bool, err error) {
	var (
		tenants, events [][16]byte
		keys            []string
		prints          [][]byte
	)
	for key, p := range list {
		print := p.Fingerprint()
		tenants, keys, prints, events = append(tenants, key.tenant), append(keys, key.key), append(prints, print[:]), append(events, p.id)
	}
	rows, _ := tx.Query(ctx, `
		insert into idempotency_keys as k (tenant_id, key, fingerprint, event_id, expires_at)
		select n.tenant_id, n.key, n.fingerprint, n.event_id, now() + @window
		from unnest(@tenants::uuid[], @keys::text[], @prints::bytea[], @events::uuid[]) as n(tenant_id, key, fingerprint, event_id)
		order by n.tenant_id, n.key
		on conflict (tenant_id, key) do update
			set fingerprint = excluded.fingerprint, event_id = excluded.event_id, expires_at = excluded.expires_at
			where k.expires_at <= now()
		returning k.tenant_id, k.key`, pgx.StrictNamedArgs{
		"tenants": tenants, "keys": keys, "prints": prints, "events": events, "window": hook.IdempotencyWindow,
	})
	taken = make(map[scopedKey]bool, len(list))
	var key scopedKey
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&key.tenant), &key.key}, func() error {
		taken[key] = true
		return nil
	})
	return taken, err
}

// takenElsewhere reads the events that hold the keys which were not taken here. The transaction has locked the keys.
func (c *claimedKeys) takenElsewhere(ctx context.Context, tx pgx.Tx, list []*publishing) (map[scopedKey]holder, error) {
	var asked []*publishing
	for _, p := range list {
		if p.IdempotencyKey != "" && !c.taken[p.scopedKey()] {
			asked = append(asked, p)
		}
	}
	if len(asked) == 0 {
		return make(map[scopedKey]holder, len(c.taken)), nil // settle adds the taken keys
	}
	// Tables are locked in the order of partitioned_tables (migration 00008), and events are read here before
	// deliveries are written. The parent's lock is enough, since days are made and dropped under that.
	if _, err := tx.Exec(ctx, `lock table only deliveries in row exclusive mode`); err != nil {
		return nil, err
	}
	return holders(ctx, tx, asked)
}

// holders reads the events that hold the publications' keys, without expired keys and without events that are gone.
// It leaves out the data of an event whose size differs from all publications under its key: it is not the same, and
// may be large.
func holders(ctx context.Context, q querier, list []*publishing) (map[scopedKey]holder, error) {
	type sized struct {
		scopedKey
		size int
	}
	asked := make(map[sized]bool, len(list))
	var tenants [][16]byte
	var keys []string
	var sizes []int
	for _, p := range list {
		if one := (sized{p.scopedKey(), len(p.Data)}); !asked[one] {
			asked[one] = true
			tenants, keys, sizes = append(tenants, one.tenant), append(keys, one.key), append(sizes, one.size)
		}
	}
	held := make(map[scopedKey]holder, len(asked))
	columns := strings.Replace(eventColumns, "e.data", "case when octet_length(e.data) = n.size then e.data end as data", 1)
	rows, _ := q.Query(ctx, `
		select k.key, k.fingerprint, `+columns+`
		from unnest($1::uuid[], $2::text[], $3::int[]) as n(tenant_id, key, size)
		cross join lateral (select * from idempotency_keys k where k.tenant_id = n.tenant_id and k.key = n.key and k.expires_at > now() offset 0) k
		cross join lateral (select * from events e where e.id = k.event_id offset 0) e`, tenants, keys, sizes)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		eventRow
		Key         string
		Fingerprint []byte
	}])
	if err != nil {
		return nil, err
	}
	for i := range found {
		key := scopedKey{found[i].TenantID, found[i].Key}
		if held[key].event.Data != nil {
			continue // found with its data already
		}
		held[key] = holder{[sha256.Size]byte(found[i].Fingerprint), found[i].event()}
	}
	return held, nil
}

// takeOver takes keys whose events are gone: because a clock was wrong, or the retention was shortened, their day was
// dropped before the key expired. insertKeys has locked the keys, so no other transaction takes them.
func takeOver(ctx context.Context, tx pgx.Tx, list map[scopedKey]*publishing, taken map[scopedKey]bool, held map[scopedKey]holder) error {
	orphaned := map[scopedKey]*publishing{}
	for key, p := range list {
		if _, ok := held[key]; !ok && !taken[key] {
			orphaned[key] = p
		}
	}
	if err := deleteKeys(ctx, tx, slices.Collect(maps.Keys(orphaned))); err != nil {
		return err
	}
	again, err := insertKeys(ctx, tx, orphaned)
	maps.Copy(taken, again)
	return err
}

// deleteKeys frees keys that the transaction has locked.
func deleteKeys(ctx context.Context, tx pgx.Tx, list []scopedKey) error {
	var tenants [][16]byte
	var keys []string
	for _, k := range list {
		tenants, keys = append(tenants, k.tenant), append(keys, k.key)
	}
	_, err := tx.Exec(ctx, `
		delete from idempotency_keys k using unnest($1::uuid[], $2::text[]) as n(tenant_id, key)
		where k.tenant_id = n.tenant_id and k.key = n.key`, tenants, keys)
	return err
}

// PurgeIdempotencyKeys deletes expired keys and the answers kept under keys. It skips keys that a publication has
// locked in order to take them: waiting for locks in another order, the two might wait for each other.
func (s *Store) PurgeIdempotencyKeys(ctx context.Context) (purged int64, err error) {
	for _, table := range []string{"idempotency_keys", "kept_answers"} {
		tag, err := s.pool.Exec(ctx, `
			delete from `+table+` where ctid = any(array(
				select ctid from `+table+` where expires_at <= now() for update skip locked))`)
		if err != nil {
			return purged, mapErr(fmt.Errorf("purge %s: %w", table, err))
		}
		purged += tag.RowsAffected()
	}
	return purged, nil
}
