package storage

import (
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

const keyColumns = `id, tenant_id, name, scopes, token_id, topics, caches, expires_at, revoked_at, created_at, operator`

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

// Authenticate finds the key with this hash that is neither revoked nor expired, and
// puts it into the publish cache. A key that was revoked before the call is refused: the
// look-up may share a statement with others, but only one that begins after the call.
func (s *Store) Authenticate(ctx context.Context, hash hook.KeyHash) (hook.Authentication, error) {
	look := &keyLookup{hash: hash}
	if err := s.keys.add(ctx, look); err != nil {
		return hook.Authentication{}, mapErr(fmt.Errorf("look up api key: %w", err))
	}
	if look.found == nil {
		return hook.Authentication{}, hook.NotFound("api key")
	}
	key := look.found.key()
	s.cache.putKey(hash, &key)
	return hook.Authentication{Key: key, Schemas: look.found.Schemas}, nil
}

// keyLookup asks for the key with a hash. found is nil if there is none.
type keyLookup struct {
	hash  hook.KeyHash
	found *foundKey
}

type foundKey struct {
	keyRow
	Schemas bool
}

// lookUpKeys queries each hash once, all in one round trip; usually there is only one.
func (s *Store) lookUpKeys(ctx context.Context, list []*keyLookup) error {
	found := make(map[hook.KeyHash]*foundKey, 1) // most requests come with the same key
	batch := &pgx.Batch{}
	for _, look := range list {
		if _, asked := found[look.hash]; asked {
			continue
		}
		found[look.hash] = nil
		batch.Queue(`
			select `+keyColumns+`, exists (
				select from event_types t where t.tenant_id = api_keys.tenant_id and t.schema_hash is not null) as schemas
			from api_keys
			where hash = $1 and revoked_at is null and (expires_at is null or expires_at > now())`, look.hash[:]).Query(func(rows pgx.Rows) error {
			row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByName[foundKey])
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			found[look.hash] = row
			return err
		})
	}
	if err := s.pool.SendBatch(ctx, batch).Close(); err != nil {
		return err
	}
	for _, look := range list {
		look.found = found[look.hash]
	}
	return nil
}

// Keys lists a tenant's keys, revoked ones too, newest first.
func (s *Store) Keys(ctx context.Context, tenant hook.TenantID, p hook.Page) (list []hook.APIKey, more bool, err error) {
	lo, hi := bounds(p)
	rows, _ := s.pool.Query(ctx, `
		select `+keyColumns+` from api_keys where tenant_id = @tenant_id and id >= @lo and id < @hi order by id desc limit @limit`,
		pgx.StrictNamedArgs{"tenant_id": [16]byte(tenant), "lo": lo, "hi": hi, "limit": p.Limit + 1})
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

// RevokeKey ends a key at once, in every process. Revoking twice is no error. Only the operator may revoke the
// operator's key; for others it is forbidden.
func (s *Store) RevokeKey(ctx context.Context, tenant hook.TenantID, id hook.KeyID, byOperator bool) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `select `+keyColumns+` from api_keys where id = $1 and tenant_id = $2 for update`, [16]byte(id), [16]byte(tenant))
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[keyRow])
		if err != nil {
			return notFound("api key", err)
		}
		before := row.key()
		if before.Operator && !byOperator {
			return &hook.Error{Kind: hook.KindForbidden, Message: "the operator's key may be revoked by the operator alone"}
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
