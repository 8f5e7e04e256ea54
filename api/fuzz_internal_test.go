package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/humatest"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// Law: an accepted cursor is the only text for its place, and belongs to this list. Any other text is 400 and never the
// first page (S2).
func FuzzCursor(f *testing.F) {
	kinds := []byte{listWebhooks, listEvents, listDeliveries, listKeys, listTenants}
	for i, kind := range kinds {
		f.Add(*nextCursor(kind, [16]byte{byte(i)}), uint8(i))
	}
	for _, seed := range []string{"", "=", "AXcBmrHU6q9ekr-Xz5m6pYVu", "AXcBmrHU6q9ekr+Xz5m6pYVu", "AXcBmrHU6q9ekr-Xz5m6pYVu=", "AXcBmrHU6q9ekr-Xz5m6pYV", "\x00", " AXcBmrHU6q9ekr-Xz5m6pYVu\n"} {
		f.Add(seed, uint8(0))
	}
	f.Fuzz(func(t *testing.T, text string, n uint8) {
		kind := kinds[int(n)%len(kinds)]
		page, err := Paging{Limit: 20, Cursor: text}.page(kind)
		switch {
		case text == "":
			require.NoError(t, err)
			require.Nil(t, page.Before)
		case err != nil:
			require.Equal(t, hook.KindInvalid, hook.KindOf(err))
			require.Nil(t, page.Before)
		default:
			require.NotNil(t, page.Before)
			require.Equal(t, text, *nextCursor(kind, *page.Before))
		}
	})
}

// Law: the id of a server-sent event leads to the place after it, and has only one text, apart from leading zeros.
func FuzzLastEventID(f *testing.F) {
	for _, seed := range []string{"", "1.1", "0.0", "1768480200.1", "9223372036854775807.4611686018427387903", "1.9223372036854775807", "-1.1", "+1.1", "1", "1.", ".1", "1.1.1", "1.1 ", "0x1.1", "1_0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		from, err := afterEvent(id)
		if err != nil {
			require.Equal(t, hook.KindInvalid, hook.KindOf(err))
			require.Zero(t, from)
			return
		}
		require.Positive(t, from.Next)
		require.GreaterOrEqual(t, from.Page, int64(0))
		require.Regexp(t, `\A0*`+strconv.FormatInt(from.Page, 10)+`\.0*`+strconv.FormatInt(from.Next-1, 10)+`\z`, "0"+strings.Replace(id, ".", ".0", 1))
	})
}

// Law: the text of a key is the header's value without the scheme, as RFC 6750 and M9 say; no other header has a key.
func FuzzAuthorization(f *testing.F) {
	for _, seed := range [][2]string{
		{"Bearer gk_a", ""},
		{"bearer  gk_a ", ""},
		{"BEARER\tgk_a", ""},
		{"Bearer", ""},
		{"Bearer ", ""},
		{"gk_a", ""},
		{"", "gk_a"},
		{"gk_a", "gk_a"},
		{"Basic gk_a", ""},
		{"Bearer a b", ""},
		{"\x00", "\x00"},
		{"é", "é"},
		{"Bearer Bearer a", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, header, token string) {
		r := httptest.NewRequest(http.MethodGet, "/topics/a/b?token="+url.QueryEscape(token), nil)
		r.Header["Authorization"] = []string{header}
		ctx := humatest.NewContext(&huma.Operation{}, r, httptest.NewRecorder())
		bearer, err := bearerKey(ctx)
		scheme, rest, _ := strings.Cut(header, " ")
		text := strings.TrimSpace(rest)
		require.Equal(t, strings.EqualFold(scheme, "bearer") && text != "", err == nil)
		if err == nil {
			require.Equal(t, text, bearer.Reveal())
		} else {
			require.Equal(t, hook.KindUnauthorized, hook.KindOf(err))
			require.Empty(t, bearer)
		}
		anywhere, err := anyKey(ctx)
		switch {
		case header != "" && token != "":
			require.Equal(t, hook.KindInvalid, hook.KindOf(err), "both at once is 400")
		case token != "":
			require.Equal(t, token, anywhere.Reveal())
		case err == nil && strings.Contains(header, " "):
			require.Equal(t, bearer, anywhere)
		case err == nil:
			require.Equal(t, header, anywhere.Reveal())
		}
	})
}

// Law: making a lone slash findable changes no name of a path, and every path refused for its dots or slashes would be
// another path to the mux.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/", "/a/b", "/caches/%2F/webhooks/%2f", "/a//b", "/a/./b", "/a/..", "/a/%2E%2E", "/%00", "/%C3%A9/é", "/%20%2F", "/a%2Fb", "/%25", "*", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(u.EscapedPath(), "/") {
			return // net/http refuses it, or we do
		}
		before := strings.Split(u.EscapedPath(), "/")
		spaceSlashes(u)
		after := strings.Split(u.EscapedPath(), "/")
		require.Len(t, after, len(before), "%q", path)
		for i := range before {
			was, err := url.PathUnescape(before[i])
			require.NoError(t, err)
			is, err := url.PathUnescape(after[i])
			require.NoError(t, err)
			require.Equal(t, hook.TrimName(was), hook.TrimName(is), "%q", path)
			if pathProblem(strings.Join(before, "/")) == "" && i > 0 && i < len(before)-1 {
				require.NotContains(t, []string{"", ".", ".."}, before[i])
			}
		}
	})
}

// Law: a batch is split exactly where encoding/json splits it, and a body that encoding/json refuses is refused as a
// whole.
func FuzzBatch(f *testing.F) {
	for _, seed := range []string{
		`{"events":[{"type":"a","data":1}]}`, `{"events":[]}`, `{"events":[1,"]",[2],{"a":"}"}]}`, `{"events":[1]}x`, `{"events":[1],"events":[2]}`, `{"Events":[1]}`, `[]`, ``, `{`,
		"\ufeff{}", `{"events":["\ud800",1e999,"` + "\xff" + `"]}`, `{"events":[1,]}`, `{"events":[` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `,1]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		items, err := readBatch(raw)
		if err != nil {
			var e *hook.Error
			require.ErrorAs(t, err, &e)
			require.Contains(t, []hook.Kind{hook.KindInvalid, hook.KindUnprocessable}, e.Kind)
			return
		}
		require.NotEmpty(t, items)
		if !json.Valid(raw) {
			_, deep := shallow(raw, splitDepth) // encoding/json goes no deeper than 10,000 either
			require.True(t, deep, "%q", raw)
			return
		}
		var want struct{ Events []json.RawMessage }
		require.NoError(t, json.Unmarshal(raw, &want))
		require.Len(t, items, len(want.Events), "%q", raw)
		if _, clipped := shallow(raw, splitDepth); clipped {
			return
		}
		for i := range items {
			require.Equal(t, string(want.Events[i]), string(items[i]), "%q", raw)
		}
	})
}

// Law: removing values that are too deep changes no length and no offset, leaves valid JSON, and happens exactly if a
// value is too deep.
func FuzzShallow(f *testing.F) {
	for _, seed := range []string{``, `[]`, `[[[[1]]]]`, `{"a":{"b":{"c":[]}},"d":"]}"}`, `["\"[[[["]`, `[[}]`, `[[[`, `"`, `[{"a":[1]},[2,[3,[4]]]]`, `]`, `"\\"[[[[]]]]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		const most = 3
		out, ok := shallow(raw, most)
		deepest, depth := 0, 0
		dec := jsontext.NewDecoder(strings.NewReader(string(raw)), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			token, err := dec.ReadToken()
			if err != nil {
				break
			}
			switch token.Kind() {
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			deepest = max(deepest, depth)
		}
		if json.Valid(raw) {
			require.Equal(t, deepest > most, ok, "%q", raw)
		}
		if !ok {
			return
		}
		require.Len(t, out, len(raw))
		again, more := shallow(out, most)
		require.False(t, more, "%q became %q and then %q", raw, out, again)
		if json.Valid(raw) {
			require.True(t, json.Valid(out), "%q became %q", raw, out)
		}
		for i := range raw { // the only differences are the numbers that replace values
			if raw[i] == out[i] {
				continue
			}
			require.Contains(t, "0 ", string(out[i]))
		}
	})
}
