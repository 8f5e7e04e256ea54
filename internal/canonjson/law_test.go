package canonjson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
)

// requireLaws requires the properties of every accepted src and its canonical form out.
func requireLaws(tb require.TestingT, src, out []byte) {
	require.True(tb, json.Valid(src))
	require.True(tb, json.Valid(out))

	again, err := canonjson.Canonicalize(out)
	require.NoError(tb, err)
	require.Equal(tb, string(out), string(again), "not idempotent")

	var compact bytes.Buffer
	require.NoError(tb, json.Compact(&compact, out))
	require.Equal(tb, compact.String(), string(out), "not compact")

	var before, after any
	require.NoError(tb, json.Unmarshal(src, &before))
	require.NoError(tb, json.Unmarshal(out, &after))
	require.Equal(tb, before, after, "value changed")
}

func TestLaws(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(documents(false).Draw(t, "document"))
		out, err := canonjson.Canonicalize(src)
		require.NoError(t, err)
		requireLaws(t, src, out)
	})
}

func TestHostileDocumentsAreRefusedOrKept(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		src := []byte(documents(true).Draw(t, "document"))
		out, err := canonjson.Canonicalize(src)
		if err == nil {
			requireLaws(t, src, out)
		}
	})
}

// Law: every double is accepted in its shortest spelling, in every format, and printed so that it is read back as
// itself.
func TestEveryDoubleIsExact(t *testing.T) {
	t.Parallel()
	const exponentBits = 0x7ff << 52 // infinities and NaN, which JSON does not have, have all of these bits
	finite := rapid.Uint64().Filter(func(bits uint64) bool { return bits&exponentBits != exponentBits })
	rapid.Check(t, func(t *rapid.T) {
		f := math.Float64frombits(finite.Draw(t, "bits"))
		var first string
		for _, format := range []byte("efgEG") {
			out, err := canonjson.Canonicalize([]byte(strconv.FormatFloat(f, format, -1, 64)))
			require.NoError(t, err)
			back, err := strconv.ParseFloat(string(out), 64)
			require.NoError(t, err)
			require.InDelta(t, f, back, 0)
			if first == "" {
				first = string(out)
			}
			require.Equal(t, first, string(out))
		}
	})
}

func TestNumbersWithLongLiterals(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 250_000)
	for src, want := range map[string]string{
		// strconv alone miscounts exponents of this size.
		"0." + zeros + "1e250001":             "1",
		"1" + zeros + "e-250000":              "1",
		"1." + zeros:                          "1",
		"-0." + zeros + "e99999999999":        "0",
		"12" + zeros + "e-249999":             "120",
		"0." + zeros + "5e249677":             "5e-324",
		"17976931348623157e0000000000000292":  "1.7976931348623157e+308",
		"0.000000000000000000000000000001e30": "1",
	} {
		out, err := canonjson.Canonicalize([]byte(src))
		require.NoError(t, err, want)
		require.Equal(t, want, string(out))
	}
	for src, why := range map[string]canonjson.Reason{
		"0." + zeros + "1e-1":                  canonjson.ReasonInexactNumber,
		"1" + zeros:                            canonjson.ReasonNumberOutOfRange,
		"1." + zeros + "1":                     canonjson.ReasonInexactNumber,
		"1e99999999999999999999999999":         canonjson.ReasonNumberOutOfRange,
		"-1e-99999999999999999999999999":       canonjson.ReasonInexactNumber,
		"1.797693134862315807e308":             canonjson.ReasonInexactNumber,
		"1.797693134862315808e308":             canonjson.ReasonNumberOutOfRange,
		"2e-324":                               canonjson.ReasonInexactNumber,
		"3e-324":                               canonjson.ReasonInexactNumber,
		strings.Repeat("9", 309) + ".0":        canonjson.ReasonNumberOutOfRange,
		"0.1" + strings.Repeat("0", 900) + "1": canonjson.ReasonInexactNumber,
	} {
		require.Equal(t, why, refusal(t, src).Reason, "%.40s", src)
	}
}

func TestLargeObjects(t *testing.T) {
	t.Parallel()
	const members = 60_000
	var ordinary, descending, ascending strings.Builder
	for i := range members {
		fmt.Fprintf(&ordinary, `,"k%d":%d`, i, i)
		fmt.Fprintf(&descending, `,"%d":%d`, members-i, i)
		fmt.Fprintf(&ascending, `,"%d":%d`, i+1, members-1-i)
	}
	src := "{" + ordinary.String()[1:] + descending.String() + "}"
	out, err := canonjson.Canonicalize([]byte(src))
	require.NoError(t, err)
	require.Equal(t, "{"+ascending.String()[1:]+ordinary.String()+"}", string(out))

	for _, duplicate := range []int{0, 31, 32, 33, members - 1} {
		key := fmt.Sprintf("k%d", duplicate)
		refused := refusal(t, src[:len(src)-1]+`,"`+key+`":null}`)
		require.Equal(t, canonjson.ReasonDuplicateKey, refused.Reason)
		require.Equal(t, "/"+key, refused.Pointer)
	}
}

// Rearranging members at every level copies the text once per level, and no more often.
func TestNestedReordering(t *testing.T) {
	t.Parallel()
	const levels = canonjson.MaxDepth - 1
	filler := `"` + strings.Repeat("x", 500_000) + `"`
	out, err := canonjson.Canonicalize(
		[]byte(strings.Repeat(`{"b":0,"1":`, levels) + filler + strings.Repeat(`,"0":2}`, levels)))
	require.NoError(t, err)
	require.Equal(t,
		strings.Repeat(`{"0":2,"1":`, levels)+filler+strings.Repeat(`,"b":0}`, levels), string(out))
}

func TestAppendString(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                            `""`,
		"\x00\x07\b\t\n\v\f\r\x1f":    `"\u0000\u0007\b\t\n\u000b\f\r\u001f"`,
		`"\/`:                         `"\"\\/"`,
		"\x7f<>&'é\u2028\u2029\ufeff": "\"\x7f<>&'é\u2028\u2029\ufeff\"",
		"😀\U0010ffff":                 "\"😀\U0010ffff\"",
		"a\xffb\xed\xa0\x80":          "\"a\ufffdb\ufffd\ufffd\ufffd\"",
	} {
		require.Equal(t, "x"+want, string(canonjson.AppendString([]byte("x"), in)))
	}
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "string")
		quoted := canonjson.AppendString(nil, s)
		out, err := canonjson.Canonicalize(quoted)
		require.NoError(t, err)
		require.Equal(t, string(quoted), string(out))
		var back string
		require.NoError(t, json.Unmarshal(quoted, &back))
		require.Equal(t, s, back)
	})
}
