package storage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// sealedPrevious are a webhook's previous secrets as they are stored (S6).
type sealedPrevious struct {
	PreviousSecrets [][]byte
	PreviousUntil   []time.Time
	// SingleValueUntil are the expiry times, among those in PreviousUntil, of the secrets that keep signing the
	// headers with one value. A process that does not know the column may leave times here that belong to no secret.
	SingleValueUntil []time.Time
}

// sealPrevious leaves out expired secrets, so that any change of a webhook removes them.
func (s *Store) sealPrevious(w *hook.Webhook, form secrets.Form) sealedPrevious {
	p := sealedPrevious{PreviousSecrets: [][]byte{}, PreviousUntil: []time.Time{}}
	for _, previous := range w.Valid(time.Now()) {
		p.PreviousSecrets = append(p.PreviousSecrets, s.box.Seal([]byte(previous.Secret.Reveal()), webhookPlace(columnPrevious, w.TenantID, w.ID), form))
		p.PreviousUntil = append(p.PreviousUntil, previous.Until)
		if previous.Single {
			p.SingleValueUntil = append(p.SingleValueUntil, previous.Until)
		}
	}
	return p
}

func (s *Store) openPrevious(w *hook.Webhook, p sealedPrevious) ([]hook.PreviousSecret, error) {
	var list []hook.PreviousSecret
	for i, sealed := range p.PreviousSecrets {
		plain, err := s.box.Open(sealed, webhookPlace(columnPrevious, w.TenantID, w.ID))
		if err != nil {
			return nil, err
		}
		until := p.PreviousUntil[i]
		list = append(list, hook.PreviousSecret{
			Secret: hook.Secret(plain), Until: until, Single: slices.ContainsFunc(p.SingleValueUntil, until.Equal),
		})
	}
	return list, nil
}

// ForgetSecrets deletes rotated secrets and signing keys that have expired. It returns how many webhooks and keys
// that was.
func (s *Store) ForgetSecrets(ctx context.Context) (int64, error) {
	tag, err := s.pool.Exec(ctx, `
		update webhooks w set previous_secrets = v.secrets, previous_until = v.until
		from (
			select id, array(select p.secret from unnest(previous_secrets, previous_until) with ordinality as p(secret, until, n)
					where p.until > now() order by p.n) as secrets,
				array(select p.until from unnest(previous_until) with ordinality as p(until, n) where p.until > now() order by p.n) as until
			from webhooks where cardinality(previous_until) > 0 and now() >= any(previous_until)
			order by id for update) v
		where w.id = v.id`)
	if err != nil {
		return 0, mapErr(fmt.Errorf("forget previous secrets: %w", err))
	}
	keys, err := s.pool.Exec(ctx, `delete from signing_keys where expires_at <= now()`)
	if err != nil {
		return 0, mapErr(fmt.Errorf("forget signing keys: %w", err))
	}
	return tag.RowsAffected() + keys.RowsAffected(), nil
}
