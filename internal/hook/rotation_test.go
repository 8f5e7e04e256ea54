package hook_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// S6: a secret that was rotated out stays valid until its own time, newest first.
func TestRotate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	w := valid()
	w.Secret = "one"
	require.NoError(t, w.Rotate("two", now, now.Add(time.Hour)))
	require.NoError(t, w.Rotate("three", now.Add(time.Minute), now.Add(10*time.Minute)))
	require.Equal(t, hook.Secret("three"), w.Secret)
	one := hook.PreviousSecret{Secret: "one", Until: now.Add(time.Hour)}
	two := hook.PreviousSecret{Secret: "two", Until: now.Add(10 * time.Minute)}
	require.Equal(t, []hook.PreviousSecret{two, one}, w.Valid(now.Add(time.Minute)))
	require.Equal(t, []hook.PreviousSecret{two, one}, w.Valid(two.Until.Add(-1)))
	require.Equal(t, []hook.PreviousSecret{one}, w.Valid(two.Until), "it is valid until then, not then")
	require.Empty(t, w.Valid(one.Until))
	require.Equal(t, one.Until, w.OverlapUntil(now), "the last to expire")
	require.Zero(t, w.OverlapUntil(one.Until))

	require.NoError(t, w.Rotate("four", two.Until, two.Until.Add(time.Minute)))
	require.Equal(t, []hook.PreviousSecret{{Secret: "three", Until: two.Until.Add(time.Minute)}, one}, w.Previous, "what has expired is not kept")

	w.Replace("five")
	require.Equal(t, hook.Secret("five"), w.Secret)
	require.Empty(t, w.Previous)
}

func TestRotateWithoutAnOverlap(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := valid()
	require.NoError(t, w.Rotate("two", now, now))
	require.Empty(t, w.Previous)
}

// A secret that becomes current again signs once, and so does one that a client sends twice.
func TestRotateToAKnownSecret(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	w := valid()
	w.Secret = "one"
	require.NoError(t, w.Rotate("two", now, now.Add(time.Hour)))
	require.NoError(t, w.Rotate("two", now, now.Add(time.Hour)))
	require.Equal(t, []hook.PreviousSecret{{Secret: "one", Until: now.Add(time.Hour)}}, w.Previous)
	require.NoError(t, w.Rotate("one", now, now.Add(time.Hour)))
	require.Equal(t, []hook.PreviousSecret{{Secret: "two", Until: now.Add(time.Hour)}}, w.Previous)
}

// Each secret keeps its time: a rotation with one secret too many is refused and changes nothing.
func TestRotateTooOften(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)
	w := valid()
	for i := range hook.MaxPrevious {
		require.NoError(t, w.Rotate(hook.Secret(fmt.Sprint(i)), now, now.Add(time.Duration(i+1)*time.Hour)))
	}
	before := w
	err := w.Rotate("more", now, now.Add(time.Hour))
	require.Equal(t, hook.KindPrecondition, hook.KindOf(err))
	require.ErrorContains(t, err, "4 earlier secrets are still valid, the first until 2026-01-15T13:00:00Z")
	require.Equal(t, before, w)
	require.NoError(t, w.Rotate("more", now.Add(time.Hour), now.Add(2*time.Hour)), "one of them has expired")
	require.Len(t, w.Previous, hook.MaxPrevious)
}

func TestSchemes(t *testing.T) {
	t.Parallel()
	const at = "body.signature_schemes"
	of := func(p hook.Profile, schemes ...hook.Scheme) hook.Webhook {
		return valid(func(w *hook.Webhook) { w.Profile, w.Schemes = p, schemes })
	}
	for _, schemes := range [][]hook.Scheme{{"v1"}, {"v1a"}, {"v1", "v1a"}, {"v1a", "v1"}} {
		w := of(hook.ProfileStandard, schemes...)
		require.NoError(t, w.Validate())
		for _, s := range schemes {
			require.True(t, w.Signs(s))
		}
	}
	w := of(hook.ProfileStandard, "v1", "v1a", "v1", "v2")
	require.Equal(t, []string{at + "[2]", at + "[3]"}, locations(t, w.Validate()))
	for _, p := range []hook.Profile{hook.ProfileCommenda, hook.ProfileMomento} {
		w := of(p, "v1", "v1a")
		require.Contains(t, locations(t, w.Validate()), at)
		require.False(t, w.Signs(hook.SchemeV1a))
		w = of(p, "v1")
		require.NotContains(t, locations(t, w.Validate()), at)
		require.False(t, w.Signs(hook.SchemeV1))
	}
	require.Equal(t, []hook.Scheme{hook.SchemeV1}, valid().Schemes)
}

// The headers with one value keep the secret that they have until its time.
func TestRotateLater(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	hour := func(n time.Duration) time.Time { return now.Add(n * time.Hour) }
	w := valid()
	w.Secret = "one"
	require.Equal(t, hook.Secret("one"), w.SingleValue(now))
	require.NoError(t, w.RotateLater("two", now, hour(1)))
	require.Equal(t, hook.Secret("two"), w.Secret)
	require.Equal(t, []hook.PreviousSecret{{Secret: "one", Until: hour(1), Single: true}}, w.Previous)
	require.Equal(t, hook.Secret("one"), w.SingleValue(hour(1).Add(-1)))
	require.Equal(t, hook.Secret("two"), w.SingleValue(hour(1)))
	require.Equal(t, hour(1), w.SingleValueUntil(now))
	require.Zero(t, w.SingleValueUntil(hour(1)))

	// Each secret goes on until the time that was announced for it.
	again := w
	require.NoError(t, again.RotateLater("three", now, hour(2)))
	require.Equal(t, []hook.Secret{"one", "two", "three"}, []hook.Secret{again.SingleValue(now), again.SingleValue(hour(1)), again.SingleValue(hour(2))})
	require.Equal(t, hour(2), again.SingleValueUntil(now))

	// An ordinary rotation, or a new secret without an overlap, changes the headers with one value at once.
	ordinary := w
	require.NoError(t, ordinary.Rotate("three", now, hour(2)))
	require.Equal(t, hook.Secret("three"), ordinary.SingleValue(now))
	require.Len(t, ordinary.Previous, 2, "the others sign as before")
	require.True(t, w.Previous[0].Single, "what it came from is not written to")
	replaced := w
	replaced.Replace("three")
	require.Equal(t, hook.Secret("three"), replaced.SingleValue(now))

	// If the secret of these headers becomes current again, nothing changes for them.
	back := w
	require.NoError(t, back.RotateLater("one", now, hour(2)))
	require.Equal(t, []hook.Secret{"one", "one"}, []hook.Secret{back.SingleValue(now), back.SingleValue(hour(1))})
	require.Zero(t, back.SingleValueUntil(now))

	same := w
	require.NoError(t, same.RotateLater("two", now, hour(2)))
	require.Equal(t, w.Previous, same.Previous)
}
