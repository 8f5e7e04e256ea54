package storage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// scopedKey is a client's idempotency key; each tenant has its own.
type scopedKey struct {
	tenant hook.TenantID
	key    string
}

func (p *publishing) scopedKey() scopedKey { return scopedKey{p.TenantID, p.IdempotencyKey} }

// claimKeys takes the idempotency keys of those that have one, and returns what is
// to be stored: those whose key was free, and those without. The others' outcomes
// are filled in by settle, once these are stored: it may be one of them that holds
// the key. A second publisher of a key waits here until the first has committed;
// keys are taken in their order, so that no two transactions wait for each other.
func claimKeys(ctx context.Context, tx pgx.Tx, list []*publishing) (fresh []*publishing, settle func(), err error) {
	first := map[scopedKey]*publishing{}
	for _, p := range list {
		if key := p.scopedKey(); p.IdempotencyKey != "" && first[key] == nil {
			first[key] = p
		}
	}
	taken, err := insertKeys(ctx, tx, first)
	if err != nil {
		return nil, nil, err
	}
	held, err := holders(ctx, tx, first, taken)
	if err != nil {
		return nil, nil, err
	}
	if len(taken)+len(held) < len(first) {
		if err := takeOver(ctx, tx, first, taken, held); err != nil {
			return nil, nil, err
		}
	}
	var repeated []*publishing
	for _, p := range list {
		if key := p.scopedKey(); p.IdempotencyKey == "" || first[key] == p && taken[key] {
			fresh = append(fresh, p)
		} else {
			repeated = append(repeated, p)
		}
	}
	return fresh, func() {
		for key := range taken {
			held[key] = first[key].holder()
		}
		for _, p := range repeated {
			p.repeats(held[p.scopedKey()])
		}
	}, nil
}

// holder is the event that holds a key.
type holder struct {
	fingerprint [sha256.Size]byte
	event       hook.Event
}

// holder is the event as one that holds its key.
func (p *publishing) holder() holder { return holder{p.Fingerprint(), p.accepted.Event} }

// repeats makes the outcome that of the event that holds the key: the same if the
// content is the same, and otherwise a conflict.
func (p *publishing) repeats(h holder) {
	if h.fingerprint != p.Fingerprint() {
		p.refused = &hook.Error{Kind: hook.KindConflict, Message: "the idempotency key was used within 24 hours for an event with other content"}
		return
	}
	p.accepted = hook.Accepted{Event: h.event, Duplicate: true}
}

// insertKeys takes those keys that are free, or whose window has passed.
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

// holders reads the events that hold those keys that were not taken; one whose event
// is gone is not among them.
func holders(ctx context.Context, tx pgx.Tx, list map[scopedKey]*publishing, taken map[scopedKey]bool) (map[scopedKey]holder, error) {
	var tenants [][16]byte
	var keys []string
	for key := range list {
		if !taken[key] {
			tenants, keys = append(tenants, key.tenant), append(keys, key.key)
		}
	}
	held := make(map[scopedKey]holder, len(list))
	if len(keys) == 0 {
		return held, nil
	}
	rows, _ := tx.Query(ctx, `
		select k.key, k.fingerprint, `+eventColumns+`
		from unnest($1::uuid[], $2::text[]) as n(tenant_id, key)
		cross join lateral (select * from idempotency_keys k where k.tenant_id = n.tenant_id and k.key = n.key offset 0) k
		cross join lateral (select * from events e where e.id = k.event_id offset 0) e`, tenants, keys)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		eventRow
		Key         string
		Fingerprint []byte
	}])
	if err != nil {
		return nil, err
	}
	for i := range found {
		held[scopedKey{found[i].TenantID, found[i].Key}] = holder{[sha256.Size]byte(found[i].Fingerprint), found[i].event()}
	}
	return held, nil
}

// takeOver takes those keys whose events are gone: a clock was wrong, or the retention
// was shortened, and their day was dropped within their window. insertKeys has locked
// them, so that nobody else does.
func takeOver(ctx context.Context, tx pgx.Tx, list map[scopedKey]*publishing, taken map[scopedKey]bool, held map[scopedKey]holder) error {
	orphaned := map[scopedKey]*publishing{}
	var tenants [][16]byte
	var keys []string
	for key, p := range list {
		if _, ok := held[key]; !ok && !taken[key] {
			orphaned[key] = p
			tenants, keys = append(tenants, key.tenant), append(keys, key.key)
		}
	}
	_, err := tx.Exec(ctx, `
		delete from idempotency_keys k using unnest($1::uuid[], $2::text[]) as n(tenant_id, key)
		where k.tenant_id = n.tenant_id and k.key = n.key`, tenants, keys)
	if err != nil {
		return err
	}
	again, err := insertKeys(ctx, tx, orphaned)
	maps.Copy(taken, again)
	return err
}

// PurgeIdempotencyKeys deletes those whose window has passed.
func (s *Store) PurgeIdempotencyKeys(ctx context.Context) (int64, error) {
	tag, err := s.pool.Exec(ctx, `delete from idempotency_keys where expires_at <= now()`)
	if err != nil {
		return 0, mapErr(fmt.Errorf("purge idempotency keys: %w", err))
	}
	return tag.RowsAffected(), nil
}
