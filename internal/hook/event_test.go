package hook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// S8: equal contents have equal fingerprints, and different contents have different ones. The idempotency key and the
// tenant are not part of the content.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	a := hook.Publication{Type: "ab", OrganizationID: "c", Data: []byte("d")}
	same := a
	same.IdempotencyKey, same.TenantID = "key", hook.DefaultTenant()
	require.Equal(t, a.Fingerprint(), same.Fingerprint())
	for _, other := range []hook.Publication{
		{Type: "a", OrganizationID: "bc", Data: []byte("d")},
		{Type: "abc", Data: []byte("d")},
		{Type: "ab", OrganizationID: "cd"},
		{OrganizationID: "abc", Data: []byte("d")},
		{Type: "c", OrganizationID: "ab", Data: []byte("d")},
		{Type: "ab", OrganizationID: "c", Data: []byte("d ")},
	} {
		require.NotEqual(t, a.Fingerprint(), other.Fingerprint(), "%+v", other)
	}
	part := rapid.StringMatching(`[\x00\x01a]{0,6}`) // equal lengths and equal contents are likely
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) (hook.Publication, [3]string) {
			parts := [3]string{part.Draw(t, label+" type"), part.Draw(t, label+" organization"), part.Draw(t, label+" data")}
			return hook.Publication{Type: parts[0], OrganizationID: parts[1], Data: []byte(parts[2])}, parts
		}
		p, ofP := draw("p")
		q, ofQ := draw("q")
		require.Equal(t, ofP == ofQ, p.Fingerprint() == q.Fingerprint())
	})
}

// S8: a client's id has at most 255 characters.
func TestIdempotencyKeyProblem(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a", "order 1/é", strings.Repeat("é", 255)} {
		require.Empty(t, hook.IdempotencyKeyProblem(good))
	}
	for _, bad := range []string{"", "a\nb", "\x00", "\xff", strings.Repeat("é", 256)} {
		require.NotEmpty(t, hook.IdempotencyKeyProblem(bad))
	}
}

// S7: the nine built-in types, and the closest name to an unknown one.
func TestEventTypeCatalogue(t *testing.T) {
	t.Parallel()
	var names []string
	for _, e := range hook.BuiltInEventTypes() {
		require.True(t, e.BuiltIn)
		require.NotEmpty(t, e.Description)
		require.Empty(t, hook.TypeProblem(e.Name))
		names = append(names, e.Name)
	}
	require.Equal(t, []string{
		"user.created", "user.updated", "user.deleted", "project.created", "project.updated", "project.deleted",
		"file.uploaded", "payment.succeeded", "payment.failed",
	}, names)
	for wrong, want := range map[string]string{
		"user.create": "user.created", "users.updated": "user.updated", "payment.fail": "payment.failed",
		"file.upload": "file.uploaded", "USER.created": "user.created", "payment.suceeded": "payment.succeeded",
		"user.created": "user.created",
	} {
		require.Equal(t, want, hook.Closest(wrong, names))
	}
	require.Empty(t, hook.Closest("user.created", nil))
}

// A name is suggested only if it is near, whatever the catalogue.
func TestClosestIsNear(t *testing.T) {
	t.Parallel()
	x := strings.Repeat("x", 123)
	names := []string{"user.created", "payment.succeeded", "a", "abc", x + "12345", ""}
	for given, want := range map[string]string{
		"payment.success": "payment.succeeded", "PAYMENT.SUCCEEDED": "payment.succeeded", "A": "a",
		"invoice.paid": "", "user.signup": "", "b": "", "": "", "ab": "", "abd": "abc", "xyz": "", "created.user": "",
		x + "54321": x + "12345", x + "12": x + "12345", x: x + "12345", "1" + x + "2345": x + "12345", x[1:]: "", x + x: "",
	} {
		require.Equal(t, want, hook.Closest(given, names), given)
	}
	// Near names have the distance of the definition.
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abC]{0,7}`)
		a, list := word.Draw(t, "a"), rapid.SliceOfN(word, 1, 5).Draw(t, "list")
		best, within := "", min(5, len(a)/3)+1
		for _, b := range list {
			if d := levenshtein(strings.ToLower(a), strings.ToLower(b)); d < within {
				best, within = b, d
			}
		}
		require.Equal(t, best, hook.Closest(a, list))
	})
}

// levenshtein returns the distance of two texts as it is defined.
func levenshtein(a, b string) int {
	if a == "" || b == "" {
		return len(a) + len(b)
	}
	if a[0] == b[0] {
		return levenshtein(a[1:], b[1:])
	}
	return 1 + min(levenshtein(a[1:], b), levenshtein(a, b[1:]), levenshtein(a[1:], b[1:]))
}

// A burst counts the deliveries and the bytes of its events.
func TestStartsAreAddedUp(t *testing.T) {
	t.Parallel()
	a := hook.Accepted{Event: hook.Event{ID: hook.EventID{1}, Data: []byte(`"12345"`)}, Due: 3}
	s, ok := a.Start()
	require.True(t, ok)
	require.Equal(t, 7, s.Bytes)
	shared := hook.Share("burst", []hook.Start{s, s, s})
	require.Equal(t, 21, shared.Bytes)
	require.Equal(t, 9, shared.Deliveries)
}
