package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// EnsureOperatorKey stores the operator's own admin key in the tenant "default", or marks an existing key with this
// text as the operator's. It revokes all earlier operator's keys: a process that still has one of them keeps running,
// but that key is no longer valid. It is a conflict if the text belongs to a key that is not an admin key of that
// tenant, and a precondition if the key has been revoked or has expired; in both cases nothing changes.
func (s *Store) EnsureOperatorKey(ctx context.Context, name string, text hook.Secret) error {
	err := s.ensureOperatorKey(ctx, name, text)
	if hook.KindOf(err) == hook.KindConflict { // perhaps an older process has just made it
		err = s.ensureOperatorKey(ctx, name, text)
	}
	return err
}

func (s *Store) ensureOperatorKey(ctx context.Context, name string, text hook.Secret) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Only one at a time: of two processes with different keys one is the last, and its key stays.
		if _, err := tx.Exec(ctx, `select from tenants where id = $1 for no key update`, defaultTenant()); err != nil {
			return err
		}
		id, err := ensureKey(ctx, tx, name, text)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `update api_keys set revoked_at = now() where operator and revoked_at is null and id <> $1`, [16]byte(id))
		return err
	})
	if err != nil {
		return mapErr(fmt.Errorf("ensure operator key: %w", err))
	}
	return nil
}

func defaultTenant() [16]byte { return hook.DefaultTenant() }

// ensureKey finds or creates the key, and marks it as the operator's.
func ensureKey(ctx context.Context, tx pgx.Tx, name string, text hook.Secret) (hook.KeyID, error) {
	var (
		id           hook.KeyID
		fits, usable bool
	)
	err := tx.QueryRow(ctx, `
		update api_keys set operator = operator or tenant_id = $2 and 'admin' = any(scopes)
		where hash = $1
		returning id, tenant_id = $2 and 'admin' = any(scopes), revoked_at is null and (expires_at is null or expires_at > now())`,
		hashKey(text), defaultTenant()).Scan((*[16]byte)(&id), &fits, &usable)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		k := hook.APIKey{TenantID: hook.DefaultTenant(), Name: name, Scopes: []hook.Scope{hook.ScopeAdmin}, Operator: true}
		err = insertKey(ctx, tx, &k, text)
		return k.ID, err
	case err != nil:
		return id, err
	case !fits:
		return id, &hook.Error{Kind: hook.KindConflict, Message: "the text is that of another key"}
	case !usable:
		return id, &hook.Error{Kind: hook.KindPrecondition, Message: "the key has been revoked or has expired; it stays so: give another one"}
	}
	return id, nil
}

// OperatorKey returns the state of the operator's key with this text.
func (s *Store) OperatorKey(ctx context.Context, text hook.Secret) (hook.OperatorKeyState, error) {
	var usable, replaced bool
	err := s.pool.QueryRow(ctx, `
		select k.revoked_at is null and (k.expires_at is null or k.expires_at > now()),
			exists (select from api_keys o where o.operator and o.id <> k.id and o.revoked_at is null and (o.expires_at is null or o.expires_at > now()))
		from api_keys k where k.hash = $1 and k.operator`, hashKey(text)).Scan(&usable, &replaced)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return hook.OperatorKeyNone, nil
	case err != nil:
		return "", mapErr(fmt.Errorf("look up operator key: %w", err))
	case usable:
		return hook.OperatorKeyValid, nil
	case replaced:
		return hook.OperatorKeyReplaced, nil
	}
	return hook.OperatorKeyEnded, nil
}
