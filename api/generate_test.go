package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// value returns a JSON value of the schema. wild is the percentage of values in it that violate the schema.
func (g *generator) value(s *huma.Schema, name string, wild, depth int) any {
	for s.Ref != "" {
		s = g.doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	if depth > 0 && g.chance(wild) {
		return g.anything(0)
	}
	if len(s.Enum) > 0 {
		return s.Enum[g.r.IntN(len(s.Enum))]
	}
	if len(s.Examples) > 0 && g.chance(70) {
		return s.Examples[0]
	}
	switch s.Type {
	case huma.TypeString:
		return g.stringOf(s, wild)
	case huma.TypeInteger, huma.TypeNumber:
		return g.integerOf(s, wild)
	case huma.TypeBoolean:
		return g.chance(50)
	case huma.TypeArray:
		return g.arrayOf(s, name, wild, depth)
	case huma.TypeObject:
		return g.objectOf(s, wild, depth)
	default:
		return g.anything(0)
	}
}

func (g *generator) objectOf(s *huma.Schema, wild, depth int) any {
	out := map[string]any{}
	if s.Properties["delivery_ids"] != nil && g.chance(30) { // members that exclude each other: at random, none would be right
		for _, name := range []string{"since", "status", "dry_run"} {
			out[name] = g.value(s.Properties[name], name, wild, depth+1)
		}
		return out
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		must := slices.Contains(s.Required, name)
		if must && !g.chance(wild/2) || !must && g.chance(40) {
			out[name] = g.value(s.Properties[name], name, wild, depth+1)
		}
	}
	if more, ok := s.AdditionalProperties.(*huma.Schema); ok {
		for range g.r.IntN(4) {
			out[g.pick([]string{"X-Tenant", "X-Other", "x-a", g.nasty()})] = g.value(more, "", wild, depth+1)
		}
	} else if g.chance(wild) {
		out[g.pick([]string{"unknown", "", "__proto__", "$schema", g.nasty()})] = g.anything(0)
	}
	return out
}

func (g *generator) arrayOf(s *huma.Schema, name string, wild, depth int) any {
	least, n := 0, g.r.IntN(4)
	if s.MinItems != nil {
		least = *s.MinItems
	}
	n = max(n, least)
	if g.chance(wild / 2) {
		n = 0
	}
	if s.MaxItems != nil && g.chance(wild/3) {
		n = *s.MaxItems + g.r.IntN(2)
	}
	out := make([]any, 0, n)
	for range n {
		out = append(out, g.value(s.Items, name, wild, depth+1))
	}
	return out
}

func (g *generator) integerOf(s *huma.Schema, wild int) any {
	least, most := -10.0, 1e6
	if s.Minimum != nil {
		least = *s.Minimum
	}
	if s.Maximum != nil {
		most = *s.Maximum
	}
	if g.chance(wild) {
		return []any{least - 1, most + 1, 0.5, -1, 1e15, "1", math.MaxInt32}[g.r.IntN(7)]
	}
	return int64(least) + g.r.Int64N(int64(most-least)+1)
}

func (g *generator) stringOf(s *huma.Schema, wild int) string {
	switch {
	case s.Format == "date-time":
		return g.pick([]string{
			"2027-01-15T12:00:00Z", "2027-01-15T12:00:00.123456789+14:00", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00Z", "2016-12-31T23:59:60Z", "now",
			"292278994-08-17T07:12:55Z",
		})
	case s.MaxLength != nil && g.chance(wild):
		return strings.Repeat(g.pick([]string{"a", "é", "😀", "\x00"}), *s.MaxLength+g.r.IntN(2))
	case g.chance(50):
		return g.nasty()
	default:
		return g.pick([]string{"user.created", "user.*", "*", "https://yourapp.com/webhook", "a", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
	}
}

// text returns a parameter's value.
func (g *generator) text(s *huma.Schema) string {
	v := g.value(s, "", 10, 1)
	if text, ok := v.(string); ok {
		return text
	}
	return fmt.Sprint(v)
}

// anything returns any JSON value.
func (g *generator) anything(depth int) any {
	switch g.r.IntN(9 - 2*min(depth, 1)) {
	case 0:
		return nil
	case 1:
		return g.chance(50)
	case 2:
		return g.r.IntN(3) - 1
	case 3:
		return json.Number(g.pick([]string{"1e400", "9007199254740993", "-0", "1.5", "1E+2", "0.1e-400", "99999999999999999999999"}))
	case 4, 5, 6:
		return g.nasty()
	case 7:
		return []any{g.anything(depth + 1), g.anything(depth + 1)}
	default:
		return map[string]any{g.nasty(): g.anything(depth + 1), "a": g.anything(depth + 1)}
	}
}

// nasty returns a text of a kind that often causes defects. One in three is a text that stores can't hold.
func (g *generator) nasty() string {
	if g.chance(33) {
		return g.pick([]string{"\x00", "a\x00b", "user.\x00", "\xff", "a\xed\xa0\x80"}) // in JSON, U+FFFD is all that is left of the last two
	}
	return g.pick(nastyTexts())
}

func nastyTexts() []string {
	return []string{
		"", " ", "a", "\x00", "a\x00b", "a\r\nX-Injected: 1", "\r\n\r\n", "\n", "\u2028", "\u2029", "\u0085", "\ufeff", "\u202e", "\ufffd", "\U0010ffff",
		"'", `"`, `\`, "'; drop table webhooks; --", `" or ""="`, "$1", "@id", "{{7*7}}", "${x}", "%s%n", "%00", "%", "../../etc/passwd", "..", ".", "/", "//",
		"<script>alert(1)</script>", "hook_00000000000000000000000000", "hook_7zzzzzzzzzzzzzzzzzzzzzzzzz", "hook_80000000000000000000000000",
		"00000000-0000-0000-0000-000000000000", "null", "true", "-1", "1e309", "9223372036854775808", "*", "user.*", "user.created", "a.*.b", ".", "a..b",
		"http://[::1", "http://user:pass@host/", "javascript:alert(1)", "http://127.0.0.1/", "https://yourapp.com/\r\nHost: evil", "https://exämple.com/",
		"AWUBmrHU6q9ekr-Xz5m6pYVu", "AXcBmrHU6q9ekr-Xz5m6pYVu", "AXf__________________-_v", "1768480200.1", "9223372036854775807.9223372036854775807",
		strings.Repeat("x", 129), strings.Repeat("é", 255), strings.Repeat("y", 3000), "e\u0301", "ﬀ", "İ", "ß", "😀",
	}
}

// spoil breaks a JSON text or its meaning.
func (g *generator) spoil(text []byte) []byte {
	at := g.r.IntN(len(text) + 1)
	insert := func(s string) []byte { return slices.Concat(text[:at], []byte(s), text[at:]) }
	switch g.r.IntN(12) {
	case 0:
		return text[:at]
	case 1:
		return insert(g.pick([]string{"\x00", "\xff", "\xc0\x80", "\xed\xa0\x80", "\\", `"`, "{", "]", ",", ":", "1", "/*", " "}))
	case 2:
		return slices.Concat([]byte("\ufeff"), text)
	case 3:
		return slices.Concat(text, text)
	case 4:
		return []byte(strings.Repeat("[", 20_000))
	case 5:
		return []byte(strings.Repeat(`{"data":`, 15_000) + "1" + strings.Repeat("}", 15_000))
	case 6: // the first member twice
		return slices.Concat([]byte(`{"type":"user.created","url":"https://yourapp.com/","type":"user.created",`), text[min(1, len(text)):])
	case 7:
		return []byte(strings.Replace(string(text), `"`, `"\ud800`, 1))
	case 8:
		return []byte(strings.Repeat(" ", 70<<10) + string(text))
	case 9:
		return []byte(`{"` + strings.Repeat("k", 70<<10) + `":1}`)
	case 10:
		return []byte{}
	default:
		return []byte(strings.ReplaceAll(string(text), `"`, `'`))
	}
}
