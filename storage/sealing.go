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

// The table sealing says in which form to seal. Processes of versions before can't open
// FormPlace: so it is sealed in only where there never was one, or once Reencrypt has been
// run, which is for when there is none any more. It is never taken back.

// sealingForm is the form to seal in. A process asks until it is FormPlace.
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

// sealInPlace has everything be sealed in FormPlace from now on.
func (s *Store) sealInPlace(ctx context.Context) error {
	_, err := s.pool.Exec(ctx, `insert into sealing (form) values ($1) on conflict (single) do update set form = greatest(sealing.form, excluded.form)`, int16(secrets.FormPlace))
	return err
}

// webhookPlace is where a sealed value of a webhook's is.
func webhookPlace(column string, tenant hook.TenantID, id hook.WebhookID) secrets.Place {
	return secrets.Place{Table: "webhooks", Column: column, Tenant: tenant, ID: id[:], Owner: id[:]}
}

// Columns of sealed values of webhooks.
const (
	columnSecret   = "secret"
	columnHeaders  = "headers"
	columnPrevious = "previous_secrets"
)

// signingKeyPlace is where the private key is that belongs to a public one.
func signingKeyPlace(tenant hook.TenantID, public []byte) secrets.Place {
	return secrets.Place{Table: "signing_keys", Column: "private_key", Tenant: tenant, ID: public, Owner: tenant[:]}
}

// reuseSealed leaves what is secret, and has not changed, sealed as it is: sealing anew
// gives other bytes, by which the webhook would seem to be another one to send to. What
// another key than the first has sealed, or in another form, is sealed anew.
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
