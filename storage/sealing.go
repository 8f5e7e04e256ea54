package storage

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// The table sealing has the form in which to seal. Earlier versions can't open FormPlace. So it is used only in
// databases that no earlier version has used, and after Reencrypt, which is for when no earlier version runs any
// more. It is never undone.

// sealingForm returns the form in which to seal. A process asks until it is FormPlace.
func (s *Store) sealingForm(ctx context.Context, q querier) (secrets.Form, error) {
	if s.placed.Load() {
		return secrets.FormPlace, nil
	}
	form := secrets.FormOwner
	rows, _ := q.Query(ctx, `select form from sealing`) // CollectOneRow reports its error
	found, err := pgx.CollectOneRow(rows, pgx.RowTo[int16])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return 0, fmt.Errorf("look up the form of sealing: %w", err)
	case found >= int16(secrets.FormPlace):
		form = secrets.FormPlace
		s.placed.Store(true)
	}
	return form, nil
}

// beginReencryption logs that everything is sealed again, and makes all processes seal in FormPlace from now on.
func (s *Store) beginReencryption(ctx context.Context) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := sealInPlace(ctx, tx); err != nil {
			return err
		}
		return audit(ctx, tx, hook.AuditEntry{
			TenantID: hook.DefaultTenant(), Action: hook.AuditSecretsReencrypted, Target: hook.AuditTarget{Kind: hook.TargetSecrets},
		})
	})
}

// sealInPlace makes all processes seal in FormPlace from now on.
func sealInPlace(ctx context.Context, q execer) error {
	_, err := q.Exec(ctx, `
		insert into sealing (form) values ($1) on conflict (single) do update set form = greatest(sealing.form, excluded.form)`, int16(secrets.FormPlace))
	return err
}

// webhookPlace returns the place of a webhook's sealed value.
func webhookPlace(column string, tenant hook.TenantID, id hook.WebhookID) secrets.Place {
	return secrets.Place{Table: "webhooks", Column: column, Tenant: tenant, ID: id[:], Owner: id[:]}
}

// Columns of sealed values of webhooks.
const (
	columnSecret   = "secret"
	columnHeaders  = "headers"
	columnPrevious = "previous_secrets"
)

// signingKeyPlace returns the place of the private key that belongs to a public key.
func signingKeyPlace(tenant hook.TenantID, public []byte) secrets.Place {
	return secrets.Place{Table: "signing_keys", Column: "private_key", Tenant: tenant, ID: public, Owner: tenant[:]}
}

// reuseSealed keeps the sealed bytes of secrets that have not changed. Sealing anew gives other bytes, which would
// count as a change of the webhook to send to. A value that is sealed with another key than the first, or in another
// form, is sealed anew.
func (s *Store) reuseSealed(row, old *webhookRow, w, before *hook.Webhook, form secrets.Form) {
	if sameSecret(w.Secret, before.Secret) && s.box.Current(old.Secret, form) {
		row.Secret = old.Secret
	}
	if row.Headers != nil && old.Headers != nil && maps.EqualFunc(w.Headers, before.Headers, sameSecret) && s.box.Current(old.Headers, form) {
		row.Headers = old.Headers
	}
	if len(row.PreviousSecrets) == len(old.PreviousSecrets) && slices.EqualFunc(w.Previous, before.Previous, samePrevious) &&
		!slices.ContainsFunc(old.PreviousSecrets, func(sealed []byte) bool { return !s.box.Current(sealed, form) }) {
		row.sealedPrevious = old.sealedPrevious
	}
}

func sameSecret(a, b hook.Secret) bool {
	return subtle.ConstantTimeCompare([]byte(a.Reveal()), []byte(b.Reveal())) == 1
}

func samePrevious(a, b hook.PreviousSecret) bool {
	return a.Until.Equal(b.Until) && a.Single == b.Single && sameSecret(a.Secret, b.Secret)
}
