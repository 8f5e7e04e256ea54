package hook_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// Spec 1: patterns are exact types, prefix.* and *.
func TestMatches(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, eventType string
		want               bool
	}{
		{"user.created", "user.created", true},
		{"user.created", "user.created.v2", false},
		{"user.created", "User.Created", false},
		{"user.created", "user-created", false},
		{"user.*", "user.created", true},
		{"user.*", "user.address.changed", true},
		{"user.address.*", "user.address.changed", true},
		{"user.address.*", "user.created", false},
		{"user.*", "user", false},
		{"user.*", "users.created", false},
		{"user.*", "superuser.created", false},
		{"*", "user.created", true},
		{"*", "x", true},
		{"*", "REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED", true},
		{"REGISTRATIONS.*", "REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED", true},
		{"user", "user.created", false},
		{"user.", "user.created", false},
		{"user*", "user.created", false},
		{"a topic", "a topic", true},
	} {
		require.Equal(t, test.want, hook.Matches([]string{test.pattern}, test.eventType), "%s for %s", test.pattern, test.eventType)
		require.Equal(t, test.want, hook.Matches([]string{"other", test.pattern}, test.eventType))
	}
	require.False(t, hook.Matches(nil, "user.created"))
}

// Law: a pattern matches a type exactly if it is among the type's candidates. So matching in SQL is an equality.
func TestMatchesIsCandidates(t *testing.T) {
	t.Parallel()
	// The texts have few letters, so that patterns do match, and some unusual ones, because topics are free-form.
	word := rapid.StringMatching(`[ab.*é ]{1,6}`)
	rapid.Check(t, func(t *rapid.T) {
		eventType := word.Draw(t, "type")
		pattern := rapid.OneOf(
			word,
			rapid.Map(word, func(s string) string { return s + ".*" }),
			rapid.Map(rapid.IntRange(0, len(eventType)), func(n int) string { return eventType[:n] + "*" }),
			rapid.SampledFrom(hook.Candidates(eventType)),
			rapid.Just("*"),
		).Draw(t, "pattern")
		require.Equal(t, slices.Contains(hook.Candidates(eventType), pattern), hook.Matches([]string{pattern}, eventType))
	})
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	require.ElementsMatch(t, []string{"*", "a.*", "a.b.*", "a.b.c"}, hook.Candidates("a.b.c"))
	require.ElementsMatch(t, []string{"*", "a"}, hook.Candidates("a"))
}

func TestTypeProblem(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"user.created", "a", "A_1-b.C", "REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED", strings.Repeat("x", 128),
	} {
		require.Empty(t, hook.TypeProblem(good), good)
	}
	for _, bad := range []string{
		"", ".", "a.", ".a", "a..b", "a b", "a.*", "*", "é", "a\n", "\na", "a\x00", "a/b", strings.Repeat("x", 129),
	} {
		require.NotEmpty(t, hook.TypeProblem(bad), bad)
	}
}

func TestPatternProblem(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"*", "user.*", "user.created", "a.b.*"} {
		require.Empty(t, hook.PatternProblem(good), good)
	}
	for _, bad := range []string{"", "**", ".*", "*.*", "*.created", "user*", "user.*.created", "user.*.*", "user.**", "us er", "user.", strings.Repeat("x", 129) + ".*"} {
		require.NotEmpty(t, hook.PatternProblem(bad), bad)
	}
	require.Contains(t, hook.PatternProblem("user.*.created"), "* stands alone")
}

// Law: every text that is valid as a type is valid as a pattern and matches itself.
func TestEveryTypeIsAPattern(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		eventType := rapid.StringMatching(`[a-zA-Z0-9_-]{1,8}(\.[a-zA-Z0-9_-]{1,8}){0,3}`).Draw(t, "type")
		require.Empty(t, hook.TypeProblem(eventType))
		require.Empty(t, hook.TopicProblem(eventType))
		for _, c := range hook.Candidates(eventType) {
			require.Empty(t, hook.PatternProblem(c))
			require.True(t, hook.Matches([]string{c}, eventType))
		}
	})
}

// C1: Commenda's topics are free-form strings.
func TestTopicProblem(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"a topic", "REGISTRATIONS.EXISTING", "請求書/发票 😀", strings.Repeat("é", 128), "<&>"} {
		require.Empty(t, hook.TopicProblem(good), good)
	}
	for _, bad := range []string{"", " a", "a ", "a\u00a0", "a\tb", "a\x00", "a\u0085b", "\xff", strings.Repeat("é", 129)} {
		require.NotEmpty(t, hook.TopicProblem(bad), bad)
	}
}
