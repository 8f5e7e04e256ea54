package storage

import (
	"crypto/subtle"
	"maps"
	"slices"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// keepSealed leaves what is secret, and has not changed, sealed as it is: sealing anew
// gives other bytes, by which the webhook would seem to be another one to send to. What
// another key than the first has sealed, or in another form, is sealed anew.
func (s *Store) keepSealed(row, old *webhookRow, w, before *hook.Webhook, form secrets.Form) {
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
