package canonjson_test

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"

	"pgregory.net/rapid"
)

// documents generates JSON texts in every spelling that the grammar allows: white space, escapes, exponents, keys that
// are array indices. Hostile texts also have parts that must be refused: duplicates, lone surrogates, inexact numbers.
func documents(hostile bool) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		g := generator{t: t, hostile: hostile}
		g.value(4)
		g.space()
		return g.text.String()
	})
}

type generator struct {
	t       *rapid.T
	text    strings.Builder
	hostile bool
}

func (g *generator) value(depth int) {
	g.space()
	kinds := 4
	if depth > 0 {
		kinds = 8
	}
	switch rapid.IntRange(0, kinds-1).Draw(g.t, "kind") {
	case 0:
		g.text.WriteString(rapid.SampledFrom([]string{"null", "true", "false"}).Draw(g.t, "literal"))
	case 1:
		g.string(g.characters())
	case 2, 3:
		g.text.WriteString(g.number())
	case 4, 5:
		g.list("[", "]", func(int) { g.value(depth - 1) })
	default:
		keys := map[string]bool{}
		g.list("{", "}", func(i int) {
			key := g.key()
			if !g.hostile && keys[key] {
				key += "-" + strconv.Itoa(i)
			}
			keys[key] = true
			g.space()
			g.string(key)
			g.space()
			g.text.WriteByte(':')
			g.value(depth - 1)
		})
	}
	g.space()
}

func (g *generator) list(begin, end string, item func(int)) {
	g.text.WriteString(begin)
	for i := range rapid.IntRange(0, 6).Draw(g.t, "length") {
		if i > 0 {
			g.text.WriteByte(',')
		}
		item(i)
	}
	g.space()
	g.text.WriteString(end)
}

func (g *generator) space() {
	g.text.WriteString(rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t", "\r\n"}).Draw(g.t, "space"))
}

func (g *generator) key() string {
	switch rapid.IntRange(0, 3).Draw(g.t, "key") {
	case 0:
		return strconv.Itoa(rapid.IntRange(0, 12).Draw(g.t, "index"))
	case 1:
		return rapid.SampledFrom([]string{
			"", "0", "00", "-0", "-1", "1.0", "1e3", "4294967293", "4294967294", "4294967295", "4294967296",
			"18446744073709551616", "__proto__", "constructor", "length", "toJSON", "hasOwnProperty",
		}).Draw(g.t, "special")
	default:
		return g.characters()
	}
}

func (g *generator) characters() string {
	return rapid.StringOfN(rapid.OneOf(
		rapid.RuneFrom([]rune("abc\"\\/\b\f\n\r\t\x00\x01\x1f\x7f<>&'é\u00a0\u2028\u2029\ud7ff\ue000\ufeff\uffff😀\U0010ffff")),
		rapid.Rune(),
	), 0, 8, -1).Draw(g.t, "characters")
}

// string writes s. Each character is escaped, or raw if that is allowed.
func (g *generator) string(s string) {
	const short = "\"\\/\b\f\n\r\t"
	g.text.WriteByte('"')
	for _, r := range s {
		escape := rapid.IntRange(0, 3).Draw(g.t, "escape")
		switch i := strings.IndexRune(short, r); {
		case i >= 0 && (escape < 3):
			g.text.WriteString(`\` + `"\/bfnrt`[i:i+1])
		case escape > 0 && r >= ' ' && r != '"' && r != '\\':
			g.text.WriteRune(r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				format := rapid.SampledFrom([]string{`\u%04x`, `\u%04X`}).Draw(g.t, "case")
				fmt.Fprintf(&g.text, format, unit)
			}
		}
	}
	if g.hostile && rapid.IntRange(0, 20).Draw(g.t, "surrogate") == 0 {
		g.text.WriteString(rapid.SampledFrom([]string{`\ud800`, `\uDFFF`, `\ud83d\ude00\ude00`}).Draw(g.t, "lone"))
	}
	g.text.WriteByte('"')
}

// number returns a number, exact unless the generator is hostile.
func (g *generator) number() string {
	kinds := 5
	if g.hostile {
		kinds = 6
	}
	switch rapid.IntRange(0, kinds-1).Draw(g.t, "number") {
	case 0:
		return strconv.Itoa(rapid.IntRange(-1<<53, 1<<53).Draw(g.t, "integer"))
	case 1:
		f := rapid.Float64Range(-1e308, 1e308).Draw(g.t, "double")
		return spelled(f, rapid.SampledFrom([]byte("eEfgG")).Draw(g.t, "format"))
	case 2:
		cents := rapid.IntRange(-100_000_000, 100_000_000).Draw(g.t, "cents")
		return fmt.Sprintf("%.2f", float64(cents)/100)
	case 3:
		return fmt.Sprintf("%d%s%d", rapid.IntRange(-99, 99).Draw(g.t, "mantissa"),
			rapid.SampledFrom([]string{"e", "E", "e+", "E-", ".0e", ".500e-", "e00", "e-0"}).Draw(g.t, "e"),
			rapid.IntRange(0, 300).Draw(g.t, "exponent"))
	case 4:
		return rapid.SampledFrom([]string{
			"0", "-0", "0.0", "-0.000", "0e5", "-0e-999999999999", "0E+99999999999999999999", "1.0", "1e21", "1e20",
			"999999999999999900000", "1e-6", "1e-7", "0.000001", "0.00000123", "5e-324", "2.2250738585072014e-308",
			"1.7976931348623157e308", "9007199254740991", "9007199254740992", "123456789012345680000", "100e-2",
		}).Draw(g.t, "special")
	default:
		return rapid.StringMatching(`-?(0|[1-9][0-9]{0,22})(\.[0-9]{1,22})?([eE][+-]?[0-9]{1,3})?`).Draw(g.t, "any")
	}
}

// spelled returns the shortest digits of f in one of several formats. It uses 'f' only if that does not write hundreds
// of zeros.
func spelled(f float64, format byte) string {
	if format == 'f' && (f > 1e25 || f < -1e25) {
		format = 'e'
	}
	return strconv.FormatFloat(f, format, -1, 64)
}
