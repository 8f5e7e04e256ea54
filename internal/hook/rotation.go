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
	// MaxPrevious is how many secrets may still be valid beside the current one: a
	// request carries a signature of each.
	MaxPrevious = 4
)

// PreviousSecret is one that was rotated out and is still valid.
type PreviousSecret struct {
	Secret Secret
	Until  time.Time
	// Single says that the headers with one value have its signature until then.
	Single bool
}

// Valid are the previous secrets that are valid at a time, newest first.
func (w *Webhook) Valid(at time.Time) []PreviousSecret {
	return slices.DeleteFunc(slices.Clone(w.Previous), func(p PreviousSecret) bool { return !p.Until.After(at) })
}

// Replace makes secret the only one, at once; overlaps that were running end.
func (w *Webhook) Replace(secret Secret) { w.Secret, w.Previous = secret, nil }

// Rotate makes secret the current one; the one before stays valid until the given
// time, and those rotated out earlier until theirs. A secret that comes back is not
// also a previous one. The headers with one value have the new one's signature from now
// on. It is an error if too many would be valid then: none is withdrawn before its time.
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

// RotateLater is Rotate, but for the headers with one value: they go on with the secret
// that they have now, until its time, and then have the next one's whose time was to come
// after it, the current one's in the end.
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

// rotated are the previous secrets once secret is the current one.
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

// SingleValue is the secret whose signature the headers with one value have at a time:
// the oldest that is to go on there, and otherwise the current one.
func (w *Webhook) SingleValue(at time.Time) Secret {
	for _, p := range slices.Backward(w.Previous) {
		if p.Single && p.Until.After(at) {
			return p.Secret
		}
	}
	return w.Secret
}

// SingleValueUntil is when the headers with one value have the current secret's
// signature; zero if they have it now.
func (w *Webhook) SingleValueUntil(now time.Time) (until time.Time) {
	for _, p := range w.Valid(now) {
		if p.Single && p.Until.After(until) {
			until = p.Until
		}
	}
	return until
}

// OverlapUntil is when the last previous secret expires; zero if none is valid now.
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
