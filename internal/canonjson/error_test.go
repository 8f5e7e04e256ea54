package canonjson_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
)

func refusal(tb testing.TB, src string) *canonjson.Error {
	tb.Helper()
	_, err := canonjson.Canonicalize([]byte(src))
	refused, ok := errors.AsType[*canonjson.Error](err)
	require.True(tb, ok, "%q: %v", src, err)
	return refused
}

func TestErrorNamesThePlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, src string
		want      canonjson.Error
	}{
		{"inexact integer", `{"a":[1,{"b/c":9007199254740993}]}`, canonjson.Error{
			Reason: "inexact number", Pointer: "/a/1/b~1c", Offset: 15,
			Message: "number 9007199254740993 would arrive as 9007199254740992; send it as a string",
		}},
		{"too many digits", `[0.1000000000000000055511151231257827]`, canonjson.Error{
			Reason: "inexact number", Pointer: "/0", Offset: 1,
			Message: "number 0.1000000000000000055511151231257827 would arrive as 0.1; send it as a string",
		}},
		{"vanishing number", ` {"a": -1e-400}`, canonjson.Error{
			Reason: "inexact number", Pointer: "/a", Offset: 7,
			Message: "number -1e-400 would arrive as 0; send it as a string",
		}},
		{"negative number", `-9007199254740993`, canonjson.Error{
			Reason:  "inexact number",
			Message: "number -9007199254740993 would arrive as -9007199254740992; send it as a string",
		}},
		{"overflow", `{"a~b":{"":1e400}}`, canonjson.Error{
			Reason: "number out of range", Pointer: "/a~0b/", Offset: 11,
			Message: "number 1e400 is out of the range of a double; send it as a string",
		}},
		{"duplicate key", `{"x":{"a":1,"b":2,"\u0061":3}}`, canonjson.Error{
			Reason: "duplicate key", Pointer: "/x/a", Offset: 18,
			Message: `key "a" appears twice`,
		}},
		{"lone surrogate", `["ok","x\uDE00"]`, canonjson.Error{
			Reason: "lone surrogate", Pointer: "/1", Offset: 8,
			Message: `string has the lone surrogate \uDE00, which is no Unicode text`,
		}},
		{"lone surrogate in a key", `{"a":{"\ud800":1}}`, canonjson.Error{
			Reason: "lone surrogate", Pointer: "/a", Offset: 7,
			Message: `string has the lone surrogate \ud800, which is no Unicode text`,
		}},
		{"first half twice", `["\ud83d\ud83d\ude00"]`, canonjson.Error{
			Reason: "lone surrogate", Pointer: "/0", Offset: 2,
			Message: `string has the lone surrogate \ud83d, which is no Unicode text`,
		}},
		{"invalid UTF-8", "{\"a\":\"x\xff\"}", canonjson.Error{
			Reason: "invalid UTF-8", Pointer: "/a", Offset: 7, Message: "text is not valid UTF-8",
		}},
		{"surrogate as UTF-8", "[\"\xed\xa0\x80\"]", canonjson.Error{
			Reason: "invalid UTF-8", Pointer: "/0", Offset: 2, Message: "text is not valid UTF-8",
		}},
		{"invalid UTF-8 outside strings", "[1,\xe9]", canonjson.Error{
			Reason: "invalid UTF-8", Pointer: "/1", Offset: 3, Message: "text is not valid UTF-8",
		}},
		{"byte order mark", "\ufeff{}", canonjson.Error{
			Reason: "not JSON", Message: "not JSON: the text starts with a byte order mark; send UTF-8 without one",
		}},
		{"nothing", " \n", canonjson.Error{Reason: "not JSON", Message: "not JSON: there is no value"}},
		{"cut off", `{"a":[1`, canonjson.Error{
			Reason: "not JSON", Pointer: "/a", Message: "not JSON: the text ends inside the value", Offset: 7,
		}},
		{"wrong character", `{"a":[1 2]}`, canonjson.Error{
			Reason: "not JSON", Pointer: "/a", Offset: 8,
			Message: "not JSON: invalid character '2' after array element (expecting ',' or ']')",
		}},
		{"key that is no string", `{"a":{b:1}}`, canonjson.Error{
			Reason: "not JSON", Pointer: "/a", Offset: 6,
			Message: `not JSON: invalid character 'b' at start of value`,
		}},
		{"second value", "{} []", canonjson.Error{
			Reason: "not JSON", Message: "not JSON: there is more text after the value", Offset: 2,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, *refusal(t, test.src))
		})
	}
}

func TestDepth(t *testing.T) {
	t.Parallel()
	nested := func(depth int) string {
		return strings.Repeat(`{"k":[`, depth/2) + strings.Repeat("[", depth%2) +
			strings.Repeat("]", depth%2) + strings.Repeat("]}", depth/2)
	}
	out, err := canonjson.Canonicalize([]byte(nested(canonjson.MaxDepth)))
	require.NoError(t, err)
	require.Equal(t, nested(canonjson.MaxDepth), string(out))

	// Depth counts open brackets, not all brackets.
	_, err = canonjson.Canonicalize([]byte("[" + strings.Repeat("[],{},", 200) + "[]]"))
	require.NoError(t, err)

	for _, depth := range []int{canonjson.MaxDepth + 1, 9_999, 200_000} {
		refused := refusal(t, nested(depth))
		require.Equal(t, canonjson.ReasonTooDeep, refused.Reason)
		require.Equal(t, strings.Repeat("/k/0", 50), refused.Pointer)
		require.Equal(t, "arrays and objects are nested over 100 deep", refused.Message)
		require.EqualValues(t, 50*len(`{"k":[`), refused.Offset)
	}
}

func TestErrorRepeatsLittleOfTheInput(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("é", 50_000)
	for name, src := range map[string]string{
		"key":       `{"` + long + `":1,"` + long + `":2}`,
		"number":    "[1" + strings.Repeat("0", 100_000) + "1]",
		"digits":    "[0." + strings.Repeat("9", 100_000) + "]",
		"pointer":   `{"a":{"` + long + `":1e999}}`,
		"literal":   `{"a":tru` + long + `}`,
		"escape":    `{"a":"\` + long + `"}`,
		"character": `{"a":` + long + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused := refusal(t, src)
			require.Less(t, len(refused.Message), 150, refused.Message)
			require.Less(t, len(refused.Error()), 1300)
			require.True(t, strings.HasPrefix("/a", refused.Pointer) || refused.Pointer == "/0", refused.Pointer)
		})
	}
}

func TestAppendLeavesItsArgumentsAloneOnError(t *testing.T) {
	t.Parallel()
	src := []byte(`{"b":1, "1":[2,2,2,2], "b":3}`)
	dst, err := canonjson.Append([]byte("kept"), src)
	require.Error(t, err)
	require.Equal(t, "kept", string(dst))
	require.True(t, bytes.Equal([]byte(`{"b":1, "1":[2,2,2,2], "b":3}`), src))
}
