package schema_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/schema"
)

func compile(t *testing.T, text string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile([]byte(text))
	require.NoError(t, err)
	return s
}

const invoice = `{"type":"object","required":["id","lines"],"additionalProperties":false,"properties":{
	"id":{"type":"string","pattern":"^in_[0-9]+$"},"email":{"type":"string","format":"email"},
	"a/b~c":{"const":1},"lines":{"type":"array","minItems":1,"items":{"$ref":"#/$defs/line"}}},
	"$defs":{"line":{"type":"object","required":["amount"],"properties":{"amount":{"type":"integer","minimum":0}}}}}`

// S7: data that does not satisfy the schema is refused, with the places.
func TestCheck(t *testing.T) {
	t.Parallel()
	s := compile(t, invoice)
	problems, err := s.Check(t.Context(), []byte(`{"id":"in_1","email":"a@example.com","lines":[{"amount":1},{"amount":2.0}]}`))
	require.NoError(t, err)
	require.Empty(t, problems)
	problems, err = s.Check(t.Context(), []byte(`{"id":"geheim","email":"geheim","a/b~c":"geheim","lines":[{"amount":1},{"amount":"geheim"},{},{"amount":-17}],"geheim":1}`))
	require.NoError(t, err)
	require.Equal(t, []schema.Problem{
		{"", "has members that are not allowed"},
		{"/a~1b~0c", "must be the one value that the schema has: 1"},
		{"/email", "must be in the format email"},
		{"/id", "must match the pattern ^in_[0-9]+$ (RE2)"},
		{"/lines/1/amount", "must be integer"},
		{"/lines/2", `lacks "amount"`},
		{"/lines/3/amount", "does not meet minimum"},
	}, problems, "all of them, and nothing of the data")
	problems, err = s.Check(t.Context(), []byte(`[]`))
	require.NoError(t, err)
	require.Equal(t, []schema.Problem{{"", "must be object"}}, problems)
	problems, err = compile(t, `{"items":{"type":"null"}}`).Check(t.Context(), []byte(`[`+strings.Repeat("1,", 50)+`1]`))
	require.NoError(t, err)
	require.Len(t, problems, 20)
}

func TestCompileRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]schema.Problem{
		`[]`:                                     {"", "must be an object or a boolean"},
		`{"type":"strin"}`:                       {"/type", `meets none of the alternatives: must be one of the values that the schema lists: "array", "boolean", "integer", "null", "number", "object", "string", or must be array`},
		`{"type":["strin"]}`:                     {"/type", "meets none of the alternatives: must be one of"},
		`{"type":7}`:                             {"/type", `"string", or must be array`},
		`{"items":{"type":"text"}}`:              {"/items/type", `"string", or must be array`},
		`{"minLength":-1}`:                       {"/minLength", "does not meet minimum"},
		`{"properties":[]}`:                      {"/properties", "must be object"},
		`{"pattern":"("}`:                        {"/pattern", "must be a regular expression: RE2's syntax, without look-around"},
		`{"pattern":"(?=a)"}`:                    {"/pattern", "RE2"},
		`{"patternProperties":{"(?<!a)b":true}}`: {"/patternProperties", "RE2"},
		`{"$ref":"#/$defs/no"}`:                  {"", "no"},
		`{"$ref":"https://example.com/s.json"}`:  {"", `"https://example.com/s.json", which is outside`},
		`{"$ref":"file:///etc/passwd"}`:          {"", "outside of the schema"},
		`{"$ref":"other.json"}`:                  {"", "other"},
		`{"$schema":"http://json-schema.org/draft-07/schema#"}`:         {"/$schema", "must be https://json-schema.org/draft/2020-12/schema"},
		`{"$schema":"https://example.com/meta"}`:                        {"/$schema", "must be"},
		`{"description":"` + strings.Repeat("a", schema.MaxSize) + `"}`: {"", "more than 32768"},
		`{"pattern":"((a{100}){100}){10}"}`:                             {"/pattern", "RE2"},
	} {
		_, err := schema.Compile([]byte(text))
		var e *schema.Error
		require.ErrorAs(t, err, &e, text)
		require.Equal(t, want.Pointer, e.Problems[0].Pointer, "%s: %v", text, err)
		require.Contains(t, e.Problems[0].Message, want.Message)
	}
}

// A schema of a few lines and data of a few bytes could take unbounded time to check.
func TestCheckIsBounded(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"x":`, 90) + "1" + strings.Repeat("}", 90)
	for name, c := range map[string][2]string{
		"twice at every level": {`{"properties":{"x":{"$ref":"#"}},"allOf":[{"properties":{"x":{"$ref":"#"}}}]}`, deep},
		"alternatives":         {`{"anyOf":[{"properties":{"x":{"$ref":"#"}},"required":["y"]},{"properties":{"x":{"$ref":"#"}},"required":["z"]}]}`, deep},
		"not not":              {`{"not":{"not":{"properties":{"x":{"$ref":"#"}}}},"allOf":[{"properties":{"x":{"$ref":"#"}}}]}`, deep},
		"patterns":             {`{"pattern":"(.*a){50}b","items":{"pattern":"x"},"allOf":[{"pattern":"(.*b){50}b"}]}`, `"` + strings.Repeat("ab", 50_000) + `"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := compile(t, c[0])
			_, err := s.Check(t.Context(), []byte(c[1]))
			require.ErrorIs(t, err, schema.ErrCostly)
			problems, err := s.Check(t.Context(), []byte(`null`))
			require.NoError(t, err, "it can be used again")
			require.LessOrEqual(t, len(problems), 2)
		})
	}
}

// A large document is checked completely with an ordinary schema. Time stands still in the bubble, so that only the
// steps count, however slow the machine is. The test runs alone: within a bubble it could not wait for the checks of
// other tests.
func TestCheckReadsLargeDocuments(t *testing.T) { //nolint:paralleltest // see above
	large := `[` + strings.Repeat(`{"amount":1},`, 7_000) + `{"amount":1}]`
	synctest.Test(t, func(t *testing.T) {
		problems, err := compile(t, `{"items":{"type":"object","properties":{"amount":{"type":"integer"}}}}`).Check(t.Context(), []byte(large))
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}

func TestCheckConcurrently(t *testing.T) {
	t.Parallel()
	s := compile(t, invoice)
	var g errgroup.Group
	for range 16 {
		g.Go(func() error {
			for range 50 {
				if problems, err := s.Check(t.Context(), []byte(`{"id":"in_1","lines":[{"amount":1}]}`)); err != nil || len(problems) > 0 {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
}

// Every example satisfies its schema. Some schemas have no example.
func TestExample(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`true`:                                                                      `"text"`,
		`{"type":"string"}`:                                                         `"text"`,
		`{"type":"string","minLength":6}`:                                           `"textxx"`,
		`{"type":"string","maxLength":2}`:                                           `"te"`,
		`{"type":"string","format":"date-time"}`:                                    `"2026-01-15T12:30:00Z"`,
		`{"type":"string","pattern":"^in_[0-9]{3}-(x|y)+$"}`:                        `"in_111-x"`,
		`{"const":{"a":[1]}}`:                                                       `{"a":[1]}`,
		`{"enum":["b","a"]}`:                                                        `"b"`,
		`{"type":"integer","default":7}`:                                            `7`,
		`{"examples":[42,43],"type":"integer"}`:                                     `42`,
		`{"examples":["no"],"type":"integer"}`:                                      `1`,
		`{"type":"integer","minimum":17}`:                                           `17`,
		`{"type":"integer","exclusiveMinimum":17,"multipleOf":5}`:                   `20`,
		`{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":0.5}`:             `0.25`,
		`{"type":"number","maximum":-3}`:                                            `-3`,
		`{"type":["null","string"]}`:                                                `null`,
		`{"type":"array","items":{"type":"boolean"},"minItems":2}`:                  `[true,true]`,
		`{"type":"array","items":{"enum":[1,2,3]},"minItems":3,"uniqueItems":true}`: `[1,2,3]`,
		`{"type":"array","prefixItems":[{"const":1},{"const":2}],"items":false,"maxItems":2}`:                                             `[1,2]`,
		`{"properties":{"b":{"type":"integer"},"a":{"type":"string"},"no":false},"required":["c"]}`:                                       `{"a":"text","b":1,"c":"text"}`,
		`{"oneOf":[{"type":"integer"},{"type":"string"}]}`:                                                                                `1`,
		`{"type":"object","properties":{"k":{"const":"x"}},"required":["k"],"allOf":[{"properties":{"v":{"const":1}},"required":["v"]}]}`: `{"k":"x","v":1}`,
		invoice: `{"a/b~c":1,"email":"john@example.com","id":"in_1","lines":[{"amount":1}]}`,
	} {
		s := compile(t, text)
		data, ok := s.Example(t.Context())
		require.True(t, ok, text)
		require.JSONEq(t, want, string(data), text)
		problems, err := s.Check(t.Context(), data)
		require.NoError(t, err)
		require.Empty(t, problems)
	}
	for _, text := range []string{
		`false`, `{"type":"string","pattern":"a\\bb"}`, `{"type":"integer","minimum":2,"maximum":1}`, `{"not":{}}`,
		`{"type":"object","required":["x"],"properties":{"x":{"$ref":"#"}}}`,
	} {
		_, ok := compile(t, text).Example(t.Context())
		require.False(t, ok, text)
	}
	data, ok := compile(t, `{"properties":{"b":{"const":"<&>"},"1":{"const":1e3},"a":{"default":1.50}}}`).Example(t.Context())
	require.True(t, ok)
	canonical := `{"1":1000,"a":1.5,"b":"<&>"}`
	require.Equal(t, canonical, string(data))
	data, ok = compile(t, `{"type":"object","properties":{"child":{"$ref":"#"},"name":{"type":"string"}}}`).Example(t.Context())
	require.True(t, ok, "one that refers to itself")
	require.Less(t, len(data), 2000)
}

// A schema of a few lines may have very many examples, large ones or costly ones. Without bounds the generator would
// not end.
func TestExampleIsBounded(t *testing.T) {
	t.Parallel()
	many := `1` + strings.Repeat(",1", 1000)
	for name, text := range map[string]string{
		"alternatives": `{"type":"string","enum":[` + many + `],"allOf":[{"pattern":"(.*a){50}b"}]}`,
		"at each level": `{"properties":{"a":{"$ref":"#"},"b":{"$ref":"#"},"c":{"$ref":"#"},"d":{"$ref":"#"}},"required":["a","b","c","d"],
			"anyOf":[{"$ref":"#"},{"$ref":"#"}]}`,
		"long":      `{"items":{"items":{"items":{"minLength":10000}}},"minItems":10,"prefixItems":[` + strings.Repeat(`{"minLength":10000},`, 1000) + `true]}`,
		"long text": `{"minLength":1000000}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, ok := compile(t, text).Example(t.Context())
			require.False(t, ok, "%.100s", data)
		})
	}
}

// A problem has a bounded length, however long the names are.
func TestProblemsAreShort(t *testing.T) {
	t.Parallel()
	name := strings.Repeat("é", 5000)
	problems, err := compile(t, `{"properties":{"`+name+`":{"type":"null"}},"required":["x`+name+`"]}`).Check(t.Context(), []byte(`{"`+name+`":1}`))
	require.NoError(t, err)
	require.Len(t, problems, 2)
	for _, p := range problems {
		require.Less(t, len(p.Pointer), 510)
		require.Less(t, len(p.Message), 310)
		require.True(t, utf8.ValidString(p.Pointer+p.Message))
	}
}

// Comparisons spend steps for the values that they compare, because clients write both schema and data.
func TestComparingIsBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 10_000)
	names := make([]string, 0, 3000)
	for i := range 3000 {
		names = append(names, fmt.Sprintf("%q", "n"+strconv.Itoa(i)))
	}
	objects := "[{}" + strings.Repeat(",{}", 20_000) + "]"
	for name, c := range map[string][2]string{
		"required":           {`{"items":{"not":{"required":[` + strings.Join(names, ",") + `]}}}`, objects},
		"dependent required": {`{"items":{"dependentRequired":{"a":[` + strings.Join(names, ",") + `]}}}`, strings.ReplaceAll(objects, "{}", `{"a":1}`)},
		"const":              {`{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"const":"`+"y"+`"},`, 1500), ",") + `]}`, `"` + long + `"`},
		"unique items":       {`{"allOf":[` + strings.TrimSuffix(strings.Repeat(`{"uniqueItems":true},`, 1000), ",") + `]}`, `["` + strings.Repeat(long+`","`, 5) + `"]`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := compile(t, c[0]).Check(t.Context(), []byte(c[1]))
			require.ErrorIs(t, err, schema.ErrCostly)
		})
	}
}

// Values of an enum are looked up, so that a long list costs no more than a short one. It runs alone, as
// TestCheckReadsLargeDocuments does.
func TestEnumsAreLookedUp(t *testing.T) { //nolint:paralleltest // see above
	synctest.Test(t, func(t *testing.T) {
		problems, err := compile(t, `{"items":{"enum":[`+strings.Repeat("1,", 10_000)+`0]}}`).Check(t.Context(), []byte(`[0`+strings.Repeat(",0", 50_000)+`]`))
		require.NoError(t, err)
		require.Empty(t, problems)
	})
}

// The keywords that were taken over have the same result as the validator's own.
func TestKeywordsTakenOver(t *testing.T) {
	t.Parallel()
	for text, data := range map[string]struct{ good, bad []string }{
		`{"enum":[1,"a",null,[1,{"b":2,"a":1}],{"x":[]}]}`: {[]string{`1`, `"a"`, `null`, `[1,{"a":1,"b":2}]`, `{"x":[]}`}, []string{`2`, `"1"`, `false`, `[1,{"a":1}]`, `{"x":[],"y":1}`, `"null"`, `"n"`}},
		`{"const":{"a":[1,"1"]}}`:                          {[]string{`{"a":[1,"1"]}`}, []string{`{"a":["1",1]}`, `{"a":[1,1]}`, `{}`}},
		`{"const":-0.0}`:                                   {[]string{`0`}, []string{`1`, `"0"`}},
		`{"const":null}`:                                   {[]string{`null`}, []string{`0`, `"n"`, `false`}},
		`{"uniqueItems":true}`:                             {[]string{`[]`, `[1,"1",[1],{"a":1}]`, `"no array"`}, []string{`[1,1]`, `[{"a":1,"b":2},{"b":2,"a":1}]`, `["x",0,"x"]`}},
		`{"required":["a","b"]}`:                           {[]string{`{"a":1,"b":null}`, `[]`}, []string{`{"a":1}`, `{}`}},
		`{"properties":{"k":{"$ref":"#/$defs/k"}},"$defs":{"k":{"enum":["x"]}}}`:  {[]string{`{"k":"x"}`, `{}`}, []string{`{"k":"y"}`}},
		`{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"const":{}}}`: {[]string{`{"a":1,"b":1}`, `{}`}, []string{`{"a":1}`, `{"b":1}`}},
		`{"oneOf":[{"const":1},{"enum":[1,2]}]}`:                                  {[]string{`2`}, []string{`1`, `3`}},
		`{"dependentRequired":{"a":["b"]}}`:                                       {[]string{`{"a":1,"b":1}`, `{}`}, []string{`{"a":1}`}},
	} {
		s := compile(t, text)
		for _, good := range data.good {
			problems, err := s.Check(t.Context(), []byte(good))
			require.NoError(t, err)
			require.Empty(t, problems, "%s: %s", text, good)
		}
		for _, bad := range data.bad {
			problems, err := s.Check(t.Context(), []byte(bad))
			require.NoError(t, err)
			require.NotEmpty(t, problems, "%s: %s", text, bad)
		}
	}
}

// A check ends when its context ends.
func TestCheckEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := compile(t, `{"items":{"type":"integer"}}`).Check(ctx, []byte(`[1`+strings.Repeat(",1", 5000)+`]`))
	require.ErrorIs(t, err, context.Canceled)
}

// Writing the problems takes little time, with large values, many places and nested alternatives.
func TestProblemsAreCheap(t *testing.T) { //nolint:paralleltest // it measures what this process allocates
	large := `"` + strings.Repeat("x", 30_000) + `"`
	nested := `{"type":"null"}`
	for range 10 {
		nested = `{"anyOf":[` + nested + `,` + nested + `]}`
	}
	for name, c := range map[string][2]string{ //nolint:paralleltest // see above
		"a large value for many": {`{"items":{"enum":[` + large + `,{"a":` + large[:100] + `"}]}}`, `[1` + strings.Repeat(",1", 20_000) + `]`},
		"a large constant":       {`{"items":{"const":[` + large + `]}}`, `[1` + strings.Repeat(",1", 20_000) + `]`},
		"nested alternatives":    {nested, `1`},
	} {
		t.Run(name, func(t *testing.T) {
			s := compile(t, c[0])
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			problems, err := s.Check(t.Context(), []byte(c[1]))
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<20), "bytes allocated")
			require.NotEmpty(t, problems)
			require.LessOrEqual(t, len(problems), 20)
			for _, p := range problems {
				require.Less(t, len(p.Message), 310)
			}
		})
	}
}

// A problem says what each alternative requires.
func TestProblemsOfAlternatives(t *testing.T) {
	t.Parallel()
	for text, c := range map[string][2]string{
		`{"anyOf":[{"type":"string"},{"type":"integer"},{"type":"string"}]}`: {`true`, "meets none of the alternatives: must be string, or must be integer"},
		`{"oneOf":[{"required":["a"]},{"required":["b"]}]}`:                  {`{}`, `meets none of the alternatives: lacks "a", or lacks "b"`},
		`{"oneOf":[{"required":["a"]},{"required":["b"]}],"title":""}`:       {`{"a":1,"b":1}`, "meets more than one of the alternatives"},
		`{"anyOf":[{"properties":{"a":{"type":"null"}}}]}`:                   {`{"a":1}`, "meets none of the alternatives"},
		`{"enum":["a",1,null,{"b":[]}]}`:                                     {`2`, `must be one of the values that the schema lists: "a", 1, null, {"b":[]}`},
	} {
		problems, err := compile(t, text).Check(t.Context(), []byte(c[0]))
		require.NoError(t, err)
		require.Equal(t, []schema.Problem{{"", c[1]}}, problems, text)
	}
}
