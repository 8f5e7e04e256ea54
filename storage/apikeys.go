package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

type keyRow struct {
	ID        [16]byte
	TenantID  [16]byte
	Name      string
	Scopes    []string
	TokenID   string
	Topics    []string
	Caches    []string
	ExpiresAt *time.Time
	RevokedAt *time.Time
	CreatedAt time.Time
	Operator  bool
}

// keyColumns are the columns of keyRow, in any query that joins api_keys as k.
const keyColumns = `k.id, k.tenant_id, k.name, k.scopes, k.token_id, k.topics, k.caches, k.expires_at, k.revoked_at, k.created_at, k.operator`

// platformKey is the condition that a key is a platform key (K3).
const platformKey = `(k.operator or 'platform' = any(k.scopes))`

func (r *keyRow) key() hook.APIKey {
	k := hook.APIKey{
		ID: r.ID, TenantID: r.TenantID, Name: r.Name, TokenID: r.TokenID, Topics: r.Topics, Caches: r.Caches,
		ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt, CreatedAt: r.CreatedAt, Operator: r.Operator,
	}
	for _, s := range r.Scopes {
		k.Scopes = append(k.Scopes, hook.Scope(s))
	}
	return k
}

// CreateKey stores a validated key under the hash of its text and returns it with its id. The text itself is never
// stored. It is a conflict if there is a key with this text.
func (s *Store) CreateKey(ctx context.Context, k hook.APIKey, text hook.Secret) (hook.APIKey, error) {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return createKey(ctx, tx, &k, text) })
	if err != nil {
		return hook.APIKey{}, mapErr(fmt.Errorf("insert api key: %w", err))
	}
	return k, nil
}

// createKey stores a key and logs that.
func createKey(ctx context.Context, tx pgx.Tx, k *hook.APIKey, text hook.Secret) error {
	if err := insertKey(ctx, tx, k, text); err != nil {
		return err
	}
	return audit(ctx, tx, hook.AuditEntry{
		TenantID: k.TenantID, Action: hook.AuditKeyCreated, Target: k.AuditTarget(), Changes: hook.AuditChanges(nil, k.AuditMembers()),
	})
}

// insertKey stores a key and fills in what the store gives it.
func insertKey(ctx context.Context, q querier, k *hook.APIKey, text hook.Secret) error {
	k.ID = newID[hook.KeyID]()
	scopes := make([]string, 0, len(k.Scopes))
	for _, scope := range k.Scopes {
		scopes = append(scopes, string(scope))
	}
	if k.Topics == nil {
		k.Topics = []string{}
	}
	rows, _ := q.Query(ctx, `
		insert into api_keys (id, tenant_id, name, hash, scopes, token_id, topics, caches, expires_at, operator)
		values (@id, @tenant_id, @name, @hash, @scopes, @token_id, @topics, @caches, @expires_at, @operator) returning created_at`,
		pgx.StrictNamedArgs{
			"id": [16]byte(k.ID), "tenant_id": [16]byte(k.TenantID), "name": k.Name, "hash": hashKey(text), "scopes": scopes,
			"token_id": k.TokenID, "topics": k.Topics, "caches": k.Caches, "expires_at": k.ExpiresAt, "operator": k.Operator,
		})
	var err error
	k.CreatedAt, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
	return err
}

// Authenticate finds the key with this hash that is neither revoked nor expired, and the tenant that the request names
// by its id or external id, "" for none. It puts both into the publish cache, unless the tenant is suspended: so each
// publish for it is refused by this look-up, and goes no further. What ended before the call is not found:
// the look-up may share a statement with others, but only one that begins after the call.
func (s *Store) Authenticate(ctx context.Context, hash hook.KeyHash, named string) (hook.Authentication, error) {
	look := &keyLookup{keyAsked: keyAsked{hash, named}}
	if err := s.keys.add(ctx, look); err != nil {
		return hook.Authentication{}, mapErr(fmt.Errorf("look up api key: %w", err))
	}
	if look.found == nil {
		return hook.Authentication{}, hook.NotFound("api key")
	}
	found := hook.Authentication{Key: look.found.key(), Suspended: look.found.Suspended, Schemas: look.found.Schemas}
	if look.found.Named != nil {
		found.Named = *look.found.Named
	}
	found.PublishRate = look.found.PublishRate
	switch {
	case !found.Suspended:
		s.cache.putKey(hash, &found.Key)
		s.cache.putTenant(named, found.Named)
		s.cache.putRate(cmp.Or(found.Named, found.Key.TenantID), found.PublishRate)
	case named == "":
		s.cache.dropKey(hash)
	default:
		s.cache.putTenant(named, hook.TenantID{})
	}
	return found, nil
}

// keyAsked is a key by its hash, with the tenant for which it is to act.
type keyAsked struct {
	hash  hook.KeyHash
	named string
}

// keyLookup asks for a key. found is nil if there is none.
type keyLookup struct {
	keyAsked
	found *foundKey
}

type foundKey struct {
	keyRow
	Named       *[16]byte
	Suspended   bool
	Schemas     bool
	PublishRate *int
}

// lookUpKeys queries each key once, all in one round trip; usually there is only one.
func (s *Store) lookUpKeys(ctx context.Context, list []*keyLookup) error {
	found := make(map[keyAsked]*foundKey, 1) // most requests come with the same key
	batch := &pgx.Batch{}
	for _, look := range list {
		if _, asked := found[look.keyAsked]; asked {
			continue
		}
		found[look.keyAsked] = nil
		sql, args := look.query()
		batch.Queue(sql, args...).Query(func(rows pgx.Rows) error {
			row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[foundKey])
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			found[look.keyAsked] = row
			return err
		})
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	for _, look := range list {
		look.found = found[look.keyAsked]
	}
	return nil
}

// query returns the statement of one look-up. A tenant that is being deleted is not found, nor are its keys (K8).
func (a keyAsked) query() (sql string, args []any) {
	const (
		before = `
			select ` + keyColumns + `, n.id as named, coalesce(n.status, o.status) = 'suspended' as suspended, exists (
				select from event_types t where t.tenant_id = coalesce(n.id, k.tenant_id) and t.schema_hash is not null
			) or exists (select from event_types t where t.shared and t.schema_hash is not null) as schemas,
				case when n.id is null then o.publish_rate else n.publish_rate end as publish_rate
			from api_keys k join tenants o on o.id = k.tenant_id and o.status <> 'deleting'
			left join (select t.id, t.status, t.publish_rate from tenants t where t.status <> 'deleting' and `
		after = `) n on true
			where k.hash = $2 and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())`
	)
	condition, arg, ok := tenantNamed(a.named)
	if !ok {
		condition, arg = `$1::text is null and false`, nil
	}
	return before + condition + after, []any{arg, a.hash[:]}
}

// Keys lists a tenant's keys, revoked ones too, newest first. Platform keys are among those of the tenant "default",
// for platform keys alone to see (K3).
func (s *Store) Keys(ctx context.Context, tenant hook.TenantID, by hook.KeyRank, p hook.Page) (list []hook.APIKey, more bool, err error) {
	lo, hi := bounds(p)
	rows, _ := s.pool.Query(ctx, `
		select `+keyColumns+` from api_keys k
		where k.tenant_id = @tenant_id and k.id >= @lo and k.id < @hi and (@platform or not `+platformKey+`) order by k.id desc limit @limit`,
		pgx.StrictNamedArgs{"tenant_id": [16]byte(tenant), "lo": lo, "hi": hi, "limit": p.Limit + 1, "platform": by >= hook.RankPlatform})
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[keyRow])
	if err != nil {
		return nil, false, mapErr(fmt.Errorf("list api keys: %w", err))
	}
	found, more = cut(found, p.Limit)
	for i := range found {
		list = append(list, found[i].key())
	}
	return list, more, nil
}

// RevokeKey ends a key at once, in every process. Revoking twice is no error. A key of a higher rank than by is
// forbidden: platform keys are for platform keys to revoke, and the operator's key for the operator alone.
func (s *Store) RevokeKey(ctx context.Context, tenant hook.TenantID, id hook.KeyID, by hook.KeyRank) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `select `+keyColumns+` from api_keys k where k.id = $1 and k.tenant_id = $2 for update`, [16]byte(id), [16]byte(tenant))
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
		if err != nil {
			return notFound("api key", err)
		}
		before := row.key()
		if before.Rank() > by {
			return &hook.Error{Kind: hook.KindForbidden, Message: "a platform key may be revoked by platform keys alone, and the operator's key by the operator alone"}
		}
		if before.RevokedAt != nil {
			return nil
		}
		now := before
		if err := tx.QueryRow(ctx, `update api_keys set revoked_at = now() where id = $1 returning revoked_at`, [16]byte(id)).Scan(&now.RevokedAt); err != nil {
			return err
		}
		return audit(ctx, tx, hook.AuditEntry{
			TenantID: tenant, Action: hook.AuditKeyRevoked, Target: now.AuditTarget(),
			Changes: hook.AuditChanges(before.AuditMembers(), now.AuditMembers()),
		})
	})
	if err != nil {
		return mapErr(fmt.Errorf("revoke api key %s: %w", id, err))
	}
	return nil
}

func hashKey(text hook.Secret) []byte {
	hash := hook.HashKey(text)
	return hash[:]
}
