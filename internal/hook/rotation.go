package hook

import (
	"crypto/subtle"
	"fmt"
	"slices"
	"time"
)

// Bounds of a rotation (S6).
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 7 * 24 * time.Hour
	// MaxPrevious bounds the secrets that are valid beside the current one. A request carries a signature with each.
	MaxPrevious = 4
)

// PreviousSecret is a secret that was rotated out and may still be valid.
type PreviousSecret struct {
	Secret Secret
	Until  time.Time
	// Single says that the headers with one value carry its signature until then.
	Single bool
}

// Valid returns the previous secrets that are valid at a time, newest first.
func (w *Webhook) Valid(at time.Time) []PreviousSecret {
	return slices.DeleteFunc(slices.Clone(w.Previous), func(p PreviousSecret) bool { return !p.Until.After(at) })
}

// Replace makes secret the only valid one, at once. Running overlaps end.
func (w *Webhook) Replace(secret Secret) { w.Secret, w.Previous = secret, nil }

// Rotate makes secret the current one. The one before it stays valid until the given time, and secrets that were
// rotated out earlier until their own times. If secret is one of the previous secrets, it is no longer listed there.
// The headers with one value carry the new secret's signature from now on. It is an error if too many secrets would be
// valid: none is withdrawn before its time.
func (w *Webhook) Rotate(secret Secret, now, until time.Time) error {
	previous, err := w.rotated(secret, now, until)
	if err != nil {
		return err
	}
	for i := range previous {
		previous[i].Single = false
	}
	w.Secret, w.Previous = secret, previous
	return nil
}

// RotateLater does what Rotate does, except for the headers with one value: they keep the secret that they have now
// until it expires. Then they get the next secret that was to follow it, and at last the current one.
func (w *Webhook) RotateLater(secret Secret, now, until time.Time) error {
	comesBack := same(w.SingleValue(now), secret)
	previous, err := w.rotated(secret, now, until)
	if err != nil {
		return err
	}
	if len(previous) > 0 && same(previous[0].Secret, w.Secret) && !comesBack {
		previous[0].Single = true
	}
	w.Secret, w.Previous = secret, previous
	return nil
}

// rotated returns the previous secrets for the time when secret is the current one.
func (w *Webhook) rotated(secret Secret, now, until time.Time) ([]PreviousSecret, error) {
	previous := w.Valid(now)
	if until.After(now) {
		previous = slices.Insert(previous, 0, PreviousSecret{Secret: w.Secret, Until: until.UTC().Truncate(time.Microsecond)})
	}
	previous = slices.DeleteFunc(previous, func(p PreviousSecret) bool { return same(p.Secret, secret) })
	if len(previous) > MaxPrevious {
		first := slices.MinFunc(previous, func(a, b PreviousSecret) int { return a.Until.Compare(b.Until) })
		return nil, &Error{Kind: KindPrecondition, Message: fmt.Sprintf(
			"%d earlier secrets are still valid, the first until %s: rotate after that, or end all overlaps at once with overlap_seconds 0",
			MaxPrevious, first.Until.UTC().Format(time.RFC3339))}
	}
	return previous, nil
}

// SingleValue returns the secret whose signature the headers with one value carry at a time: the oldest valid secret
// that is marked Single, and otherwise the current one.
func (w *Webhook) SingleValue(at time.Time) Secret {
	for _, p := range slices.Backward(w.Previous) {
		if p.Single && p.Until.After(at) {
			return p.Secret
		}
	}
	return w.Secret
}

// SingleValueUntil returns when the headers with one value change to the current secret's signature; zero if they carry
// it now.
func (w *Webhook) SingleValueUntil(now time.Time) (until time.Time) {
	for _, p := range w.Valid(now) {
		if p.Single && p.Until.After(until) {
			until = p.Until
		}
	}
	return until
}

// OverlapUntil returns when the last previous secret expires; zero if none is valid now.
func (w *Webhook) OverlapUntil(now time.Time) (until time.Time) {
	for _, p := range w.Valid(now) {
		if p.Until.After(until) {
			until = p.Until
		}
	}
	return until
}

func same(a, b Secret) bool {
	return subtle.ConstantTimeCompare([]byte(a.Reveal()), []byte(b.Reveal())) == 1
}
