package schema

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// longestMatch bounds the text that is made for a pattern, in bytes.
const longestMatch = 1000

// matching returns a short text that the pattern matches; ok is false if one pass over the pattern finds none.
func matching(pattern string) (text string, ok bool) {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	var b strings.Builder
	write(&b, parsed.Simplify())
	re, err := regexp.Compile(pattern)
	return b.String(), err == nil && b.Len() <= longestMatch && re.MatchString(b.String())
}

func write(b *strings.Builder, re *syntax.Regexp) {
	if b.Len() > longestMatch {
		return
	}
	switch re.Op {
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(oneOf(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteByte('a')
	case syntax.OpAlternate, syntax.OpCapture, syntax.OpPlus:
		write(b, re.Sub[0])
	case syntax.OpConcat:
		for _, sub := range re.Sub {
			write(b, sub)
		}
	case syntax.OpRepeat:
		for range re.Min {
			write(b, re.Sub[0])
		}
	default: // optional parts stay empty; anchors are checked by matching the text
	}
}

// oneOf returns a character of a class, preferably a readable one.
func oneOf(ranges []rune) rune {
	for _, want := range "a1A" {
		for i := 0; i+1 < len(ranges); i += 2 {
			if ranges[i] <= want && want <= ranges[i+1] {
				return want
			}
		}
	}
	if len(ranges) == 0 {
		return 'a'
	}
	return ranges[0]
}
