package storage

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// Reencryption is the result of Reencrypt.
type Reencryption struct {
	// Webhooks is how many webhooks there are, Changed how many of them were sealed anew. A webhook that another
	// process meanwhile seals with its own first key counts again.
	Webhooks, Changed int
	// SigningKeys is how many signing keys there are, ChangedKeys how many were sealed anew.
	SigningKeys, ChangedKeys int
	// ChangedAnswers is how many answers under idempotency keys were sealed anew.
	ChangedAnswers int
	// Unreadable are the values that no key opens. They are left as they are.
	Unreadable []UnreadableSecret
}

// UnreadableSecret is a sealed value that no key opens: of a webhook, a signing key, or a kept answer.
type UnreadableSecret struct {
	TenantID hook.TenantID
	Webhook  hook.WebhookID
	// SigningKey is the public key of a signing key. Webhook is zero for a signing key, and for an answer kept under
	// an idempotency key.
	SigningKey ed25519.PublicKey
	// Err says which value it is, and why it can't be opened; it holds nothing secret.
	Err error
}

const (
	reencryptPage = 100
	// reencryptPasses bounds the passes. A second pass finds values that the first one missed, and values that
	// processes with another first key have written since.
	reencryptPasses = 5
)

// errStillSealed means that some process goes on sealing with another key.
var errStillSealed = errors.New("webhooks are still being sealed with another key: some process has another first key, or is of an older version")

// Reencrypt opens every sealed value, and seals again with the first key and in secrets.FormPlace any value that is
// sealed otherwise (spec 7). From its beginning on, nothing is sealed in another form. Processes may run meanwhile: a
// webhook that changes in between is looked at again. It goes page by page, each in a transaction of its own, and may
// be interrupted and repeated. Only when it returns without error and nothing is unreadable does the first key open
// everything.
func (s *Store) Reencrypt(ctx context.Context) (Reencryption, error) {
	var total Reencryption
	if err := s.beginReencryption(ctx); err != nil {
		return total, mapErr(fmt.Errorf("reencrypt: %w", err))
	}
	for range reencryptPasses {
		pass, missed, err := s.reencryptAll(ctx)
		total.Webhooks, total.Unreadable = pass.Webhooks, pass.Unreadable
		total.Changed += pass.Changed
		if err == nil {
			err = s.reencryptKeys(ctx, &pass)
			total.SigningKeys, total.Unreadable = pass.SigningKeys, pass.Unreadable
			total.ChangedKeys += pass.ChangedKeys
		}
		if err == nil {
			err = s.reencryptAnswers(ctx, &pass)
			total.Unreadable = pass.Unreadable
			total.ChangedAnswers += pass.ChangedAnswers
		}
		if err != nil {
			return total, mapErr(fmt.Errorf("reencrypt: %w", err))
		}
		if pass.Changed+pass.ChangedKeys+pass.ChangedAnswers+missed == 0 {
			return total, nil
		}
	}
	return total, errStillSealed
}

// reencryptAll goes through all webhooks once. missed is how many of them changed or were deleted between reading and
// writing.
func (s *Store) reencryptAll(ctx context.Context) (pass Reencryption, missed int, err error) {
	var after [16]byte
	for {
		rows, _ := s.pool.Query(ctx, `select id, tenant_id, secret, headers, previous_secrets from webhooks where id > $1 order by id limit $2`, after, reencryptPage)
		page, err := pgx.CollectRows(rows, pgx.RowToStructByName[sealedRow])
		if err != nil || len(page) == 0 {
			return pass, missed, err
		}
		after = page[len(page)-1].ID
		pass.Webhooks += len(page)
		var stale []resealing
		for i := range page {
			row := &page[i]
			fresh, err := s.reseal(row)
			if err != nil {
				pass.Unreadable = append(pass.Unreadable, UnreadableSecret{TenantID: row.TenantID, Webhook: row.ID, Err: err})
			} else if fresh != nil {
				stale = append(stale, resealing{row, fresh})
			}
		}
		changed, err := s.replaceSealed(ctx, stale)
		if err != nil {
			return pass, missed, err
		}
		pass.Changed += changed
		missed += len(stale) - changed
	}
}

// sealedRow has the sealed values of a webhook.
type sealedRow struct {
	ID       [16]byte
	TenantID [16]byte
	Secret   []byte
	Headers  []byte
	// PreviousSecrets are previous secrets, valid or expired.
	PreviousSecrets [][]byte
}

// resealing is a row as it was read, and as it is to be written.
type resealing struct{ was, fresh *sealedRow }

// reseal opens the row's values and seals those again that are not sealed with the first key and in FormPlace. It
// returns nil if there are none.
func (s *Store) reseal(row *sealedRow) (*sealedRow, error) {
	fresh := *row
	fresh.PreviousSecrets = slices.Clone(row.PreviousSecrets)
	stale := false
	type value struct {
		name, column string
		at           *[]byte
	}
	values := []value{{"secret", columnSecret, &fresh.Secret}, {"headers", columnHeaders, &fresh.Headers}}
	for i := range fresh.PreviousSecrets {
		values = append(values, value{"previous secret", columnPrevious, &fresh.PreviousSecrets[i]})
	}
	for _, v := range values {
		if *v.at == nil {
			continue
		}
		place := webhookPlace(v.column, row.TenantID, row.ID)
		plain, err := s.box.Open(*v.at, place)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", v.name, err)
		}
		if !s.box.Current(*v.at, secrets.FormPlace) {
			*v.at, stale = s.box.Seal(plain, place, secrets.FormPlace), true
		}
	}
	if !stale {
		return nil, nil //nolint:nilnil // nothing is to be done
	}
	return &fresh, nil
}

// replaceSealed writes the rows whose sealed bytes have not changed since they were read, in one transaction and by
// id, as webhooks are locked everywhere. updated_at stays: for the owner nothing has changed.
func (s *Store) replaceSealed(ctx context.Context, list []resealing) (changed int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		for _, r := range list {
			batch.Queue(`
				update webhooks set secret = $2, headers = $3, previous_secrets = $4
				where id = $1 and secret = $5 and headers is not distinct from $6 and previous_secrets = $7`,
				r.was.ID, r.fresh.Secret, r.fresh.Headers, r.fresh.PreviousSecrets, r.was.Secret, r.was.Headers, r.was.PreviousSecrets).Exec(func(tag pgconn.CommandTag) error {
				changed += int(tag.RowsAffected())
				return nil
			})
		}
		return tx.SendBatch(ctx, batch).Close()
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

// reencryptKeys is reencryptAll for signing keys, of which a tenant has few. A key never changes, and a key that is
// deleted meanwhile needs nothing.
func (s *Store) reencryptKeys(ctx context.Context, pass *Reencryption) error {
	rows, _ := s.pool.Query(ctx, `select public_key, tenant_id, private_key from signing_keys order by public_key`)
	keys, err := pgx.CollectRows(rows, pgx.RowToStructByName[struct {
		PublicKey  []byte
		TenantID   [16]byte
		PrivateKey []byte
	}])
	if err != nil {
		return err
	}
	pass.SigningKeys = len(keys)
	for _, k := range keys {
		place := signingKeyPlace(k.TenantID, k.PublicKey)
		plain, err := s.box.Open(k.PrivateKey, place)
		switch {
		case err != nil:
			pass.Unreadable = append(pass.Unreadable, UnreadableSecret{
				TenantID: k.TenantID, SigningKey: k.PublicKey, Err: fmt.Errorf("signing key: %w", err),
			})
			continue
		case s.box.Current(k.PrivateKey, secrets.FormPlace):
			continue
		}
		tag, err := s.pool.Exec(ctx, `update signing_keys set private_key = $2 where public_key = $1`, k.PublicKey, s.box.Seal(plain, place, secrets.FormPlace))
		if err != nil {
			return err
		}
		pass.ChangedKeys += int(tag.RowsAffected())
	}
	return nil
}
