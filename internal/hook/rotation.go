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
}

// Valid are the previous secrets that are valid at a time, newest first.
func (w *Webhook) Valid(at time.Time) []PreviousSecret {
	return slices.DeleteFunc(slices.Clone(w.Previous), func(p PreviousSecret) bool { return !p.Until.After(at) })
}

// Replace makes secret the only one, at once; overlaps that were running end.
func (w *Webhook) Replace(secret Secret) { w.Secret, w.Previous = secret, nil }

// Rotate makes secret the current one; the one before stays valid until the given
// time, and those rotated out earlier until theirs. A secret that comes back is not
// also a previous one. It is an error if too many would be valid then: none is
// withdrawn before its time.
func (w *Webhook) Rotate(secret Secret, now, until time.Time) error {
	previous := w.Valid(now)
	if until.After(now) {
		previous = slices.Insert(previous, 0, PreviousSecret{Secret: w.Secret, Until: until.UTC().Truncate(time.Microsecond)})
	}
	previous = slices.DeleteFunc(previous, func(p PreviousSecret) bool { return same(p.Secret, secret) })
	if len(previous) > MaxPrevious {
		first := slices.MinFunc(previous, func(a, b PreviousSecret) int { return a.Until.Compare(b.Until) })
		return &Error{Kind: KindPrecondition, Message: fmt.Sprintf(
			"%d earlier secrets are still valid, the first until %s: rotate after that, or end all overlaps at once with overlap_seconds 0",
			MaxPrevious, first.Until.UTC().Format(time.RFC3339))}
	}
	w.Secret, w.Previous = secret, previous
	return nil
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
