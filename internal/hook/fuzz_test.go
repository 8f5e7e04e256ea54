package hook_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http/httpguts"

	"grapnel/internal/hook"
)

// Law: the only texts of an id are its own and its UUID, in either case. Parsing accepts exactly the texts that the
// definition of the form accepts.
func FuzzParseID(f *testing.F) {
	for _, seed := range []string{
		"hook_01kab1s6rzfkqbzry2kztmfpx1", "hook_7zzzzzzzzzzzzzzzzzzzzzzzzz", "hook_80000000000000000000000000", "hook_0000000000000000000000000i",
		"evt_01kab1s6rzfkqbzry2kztmfpx1", "019A961C-9b1f-7cee-bfe3-c29ff547dba1", "019a961c-9b1f-7cee-bfe3-c29ff547dbag", "019a961c09b1f-7cee-bfe3-c29ff547dba1",
		"", "hook_", "HOOK_01kab1s6rzfkqbzry2kztmfpx1", "hook_01KAB1S6RZFKQBZRY2KZTMFPX1", "hook_\xff1kab1s6rzfkqbzry2kztmfpx1", strings.Repeat("é", 18),
	} {
		f.Add(seed)
	}
	typeID := regexp.MustCompile(`\Ahook_[0-7][0-9a-hjkmnp-tv-z]{25}\z`)
	uuid := regexp.MustCompile(`\A[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := hook.ParseWebhookID(s)
		require.Equal(t, typeID.MatchString(s) || uuid.MatchString(s), err == nil, "%q", s)
		if err != nil {
			require.Zero(t, id)
			return
		}
		require.True(t, s == id.String() || strings.ToLower(s) == id.UUID(), "%q is %s", s, id)
		again, err := hook.ParseWebhookID(id.String())
		require.NoError(t, err)
		require.Equal(t, id, again)
	})
}

// Law: a topic's id has one text in each case, and no other text is one.
func FuzzParseTopicID(f *testing.F) {
	for _, seed := range []string{"", strings.Repeat("0", 32), strings.Repeat("f", 31), strings.Repeat("A", 32), strings.Repeat("g", 32), strings.Repeat("0", 33)} {
		f.Add(seed)
	}
	form := regexp.MustCompile(`\A[0-9a-fA-F]{32}\z`)
	f.Fuzz(func(t *testing.T, s string) {
		id, err := hook.ParseTopicID(s)
		require.Equal(t, form.MatchString(s), err == nil, "%q", s)
		if err == nil {
			require.Equal(t, strings.ToLower(s), id.String())
		} else {
			require.Zero(t, id)
		}
	})
}

// matches is a simple definition of patterns (spec 1).
func matches(pattern, eventType string) bool {
	want, have := strings.Split(pattern, "."), strings.Split(eventType, ".")
	if pattern == "*" {
		return true
	}
	if want[len(want)-1] == "*" {
		n := len(want) - 1
		return len(have) > n && slices.Equal(want[:n], have[:n])
	}
	return slices.Equal(want, have)
}

// Law: patterns are exactly the texts that the definition allows. A pattern matches a type exactly if the definition
// says so, and exactly if it is among the type's candidates.
func FuzzPatterns(f *testing.F) {
	for _, seed := range [][2]string{
		{"*", "a"},
		{"a.*", "a.b"},
		{"a.*", "a"},
		{"a.*", "ab.c"},
		{"a.b", "a.b.c"},
		{"a.*.b", "a.x.b"},
		{"**", "a"},
		{".*", ".a"},
		{"", ""},
		{"*.a", "b.a"},
		{"a.b.*", "a.b.c.d"},
		{"a..b", "a..b"},
		{"a\n", "a"},
		{"é", "é"},
		{strings.Repeat("a", 129), "a"},
		{strings.Repeat("a", 128) + ".*", "a"},
	} {
		f.Add(seed[0], seed[1])
	}
	name := regexp.MustCompile(`\A[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)*\z`)
	isType := func(s string) bool { return len(s) <= hook.MaxTypeLength && name.MatchString(s) }
	f.Fuzz(func(t *testing.T, pattern, eventType string) {
		prefix, wild := strings.CutSuffix(pattern, ".*")
		isPattern := pattern == "*" || wild && isType(prefix) || isType(pattern)
		require.Equal(t, isType(eventType), hook.TypeProblem(eventType) == "", "%q", eventType)
		require.Equal(t, isPattern, hook.PatternProblem(pattern) == "", "%q", pattern)
		if !isPattern || !isType(eventType) {
			return
		}
		require.Equal(t, matches(pattern, eventType), hook.Matches([]string{pattern}, eventType), "%q %q", pattern, eventType)
		require.Equal(t, matches(pattern, eventType), slices.Contains(hook.Candidates(eventType), pattern), "%q %q", pattern, eventType)
	})
}

// Law: a name has 1 to 128 characters of UTF-8 without control characters, and trimming it again changes nothing (spec
// 4).
func FuzzNames(f *testing.F) {
	for _, seed := range []string{"", " ", "a", " a ", "\u2003a\u00a0", "a\x00", "\xff", "a/b", "%2F", "\u2028", "\u0085a", strings.Repeat("é", 128), strings.Repeat("😀", 129), "..", "\ufeff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, given string) {
		name := hook.TrimName(given)
		require.Equal(t, name, hook.TrimName(name))
		require.Contains(t, given, name)
		n := utf8.RuneCountInString(name)
		ok := utf8.ValidString(name) && n >= 1 && n <= 128 && !strings.ContainsFunc(name, unicode.IsControl)
		require.Equal(t, ok, hook.NameProblem(name) == "", "%q: %s", name, hook.NameProblem(name))
		if ok {
			require.True(t, hook.TopicProblem(name) == "" || len(name) > hook.MaxTypeLength, "%q", name)
		}
	})
}

// Law: a custom header that is accepted can't end its line, and net/http accepts it.
func FuzzCustomHeaders(f *testing.F) {
	for _, seed := range [][2]string{
		{"X-Tenant", "acme"},
		{"X-A\r\nX-B", "1"},
		{"X-A", "1\r\nX-B: 2"},
		{"X-A", "1\n"},
		{"X A", "1"},
		{"X-A:", "1"},
		{"", ""},
		{"X-A", "\x00"},
		{"X-é", "é"},
		{"X-A", " a"},
		{"content-LENGTH", "1"},
		{"Host", "evil"},
		{"X-A", "\u2028"},
		{"transfer-encoding", "chunked"},
		{"X-A", "\x7f"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		w := valid(func(w *hook.Webhook) { w.Headers = map[string]hook.Secret{name: hook.Secret(value)} })
		if w.Validate() != nil {
			return
		}
		require.True(t, httpguts.ValidHeaderFieldName(name), "%q", name)
		require.True(t, httpguts.ValidHeaderFieldValue(value), "%q", value)
		require.NotContains(t, name+value, "\r")
		require.NotContains(t, name+value, "\n")
		for _, ours := range []string{"Host", "Content-Length", "Transfer-Encoding", "Connection", "X-Webhook-Signature"} {
			require.False(t, strings.EqualFold(name, ours), name)
		}
	})
}
