package storage

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/internal/signing"
)

// signingKeysColumn selects the keys that sign for w's tenant, the current one first, if w wants such signatures:
// each is a public key followed by the sealed private key.
const signingKeysColumn = `case when 'v1a' = any(w.signature_schemes) then array(
		select k.public_key || k.private_key from signing_keys k
		where k.tenant_id = w.tenant_id and (k.expires_at is null or k.expires_at > clock_timestamp())
		order by k.expires_at desc nulls first, k.public_key) end as signing_keys`

func schemeNames(list []hook.Scheme) []string {
	names := make([]string, 0, len(list))
	for _, s := range list {
		names = append(names, string(s))
	}
	return names
}

func schemes(names []string) []hook.Scheme {
	list := make([]hook.Scheme, 0, len(names))
	for _, name := range names {
		list = append(list, hook.Scheme(name))
	}
	return list
}

// ensureSigningKey creates the tenant's first key when a webhook needs one.
func (s *Store) ensureSigningKey(ctx context.Context, tx pgx.Tx, w *hook.Webhook) error {
	if !w.Signs(hook.SchemeV1a) {
		return nil
	}
	return s.insertSigningKey(ctx, tx, w.TenantID)
}

// insertSigningKey creates a current key unless there is one.
func (s *Store) insertSigningKey(ctx context.Context, tx pgx.Tx, tenant hook.TenantID) error {
	public, private := secrets.NewSigningKey()
	form, err := s.sealingForm(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		insert into signing_keys (public_key, tenant_id, private_key) values ($1, $2, $3)
		on conflict (tenant_id) where expires_at is null do nothing`,
		[]byte(public), [16]byte(tenant), s.box.Seal([]byte(signing.StandardWebhooksPrivateKey(private)), signingKeyPlace(tenant, public), form))
	return err
}

// SigningKeys lists the keys that sign for the tenant now, the current one first. There are none while no webhook has
// wanted one.
func (s *Store) SigningKeys(ctx context.Context, tenant hook.TenantID) ([]hook.SigningKey, error) {
	keys, err := signingKeys(ctx, s.pool, tenant)
	if err != nil {
		return nil, mapErr(fmt.Errorf("list signing keys: %w", err))
	}
	return keys, nil
}

func signingKeys(ctx context.Context, q querier, tenant hook.TenantID) ([]hook.SigningKey, error) {
	rows, _ := q.Query(ctx, `
		select public_key, created_at, expires_at from signing_keys
		where tenant_id = $1 and (expires_at is null or expires_at > clock_timestamp())
		order by expires_at desc nulls first, public_key`, [16]byte(tenant)) // CollectRows reports its error
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (hook.SigningKey, error) {
		k := hook.SigningKey{TenantID: tenant}
		return k, row.Scan((*[]byte)(&k.Public), &k.CreatedAt, &k.ExpiresAt)
	})
}

// RotateSigningKey creates a new current key for the tenant. The previous key keeps signing beside it during the
// overlap, and is then deleted; without an overlap it is deleted at once. It is an error if too many keys would sign.
// The keys as they then stand are returned.
func (s *Store) RotateSigningKey(ctx context.Context, tenant hook.TenantID, overlap time.Duration) (keys []hook.SigningKey, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Only one rotation at a time, and none while the tenant's first key is created.
		if err := tx.QueryRow(ctx, `select from tenants where id = $1 for no key update`, [16]byte(tenant)).Scan(); err != nil {
			return notFound("tenant", err)
		}
		// Senders that have loaded the keys must load them anew. Webhooks are locked before keys, as everywhere.
		_, err := tx.Exec(ctx, `
			update webhooks set version = version + 1 where id = any(array(
				select id from webhooks where tenant_id = $1 and 'v1a' = any(signature_schemes) order by id for update))`, [16]byte(tenant))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			update signing_keys set expires_at = clock_timestamp() + $2::interval where tenant_id = $1 and expires_at is null`,
			[16]byte(tenant), overlap)
		if err != nil {
			return err
		}
		if overlap == 0 {
			// The key may be compromised: overlaps that are running end too.
			if _, err := tx.Exec(ctx, `delete from signing_keys where tenant_id = $1`, [16]byte(tenant)); err != nil {
				return err
			}
		}
		if err := s.insertSigningKey(ctx, tx, tenant); err != nil {
			return err
		}
		if keys, err = signingKeys(ctx, tx, tenant); err != nil {
			return err
		}
		if len(keys) > hook.MaxSigningKeys {
			return &hook.Error{Kind: hook.KindPrecondition, Message: fmt.Sprintf(
				"%d earlier keys still sign: rotate later, or end all overlaps at once", hook.MaxSigningKeys-1)}
		}
		return auditSigningKey(ctx, tx, &keys[0], overlap)
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("rotate signing key of %s: %w", tenant, err))
	}
	s.awaitTrust(time.Now())
	return keys, nil
}

// keyring opens the signing keys of jobs, each tenant's once.
type keyring struct {
	store *Store
	known map[hook.TenantID][]ed25519.PrivateKey
}

var errNoSigningKey = errors.New("the tenant has no signing key")

func (k *keyring) open(tenant hook.TenantID, sealed [][]byte) ([]ed25519.PrivateKey, error) {
	if keys, ok := k.known[tenant]; ok {
		return keys, nil
	}
	if len(sealed) == 0 {
		return nil, errNoSigningKey
	}
	keys := make([]ed25519.PrivateKey, 0, len(sealed))
	for _, value := range sealed {
		public, private := value[:ed25519.PublicKeySize], value[ed25519.PublicKeySize:] // a check constraint guarantees the size
		plain, err := k.store.box.Open(private, signingKeyPlace(tenant, public))
		if err != nil {
			return nil, fmt.Errorf("signing key of %s: %w", tenant, err)
		}
		key, ok := signing.ParseStandardWebhooksPrivateKey(string(plain))
		if !ok || !bytes.Equal(key.Public().(ed25519.PublicKey), public) { //nolint:forcetypeassert // it has no other type
			return nil, fmt.Errorf("signing key of %s: not in a known form", tenant)
		}
		keys = append(keys, key)
	}
	k.known[tenant] = slices.Clip(keys)
	return keys, nil
}
