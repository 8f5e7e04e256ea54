package schema

import (
	"regexp"
	"regexp/syntax"
	"strings"
)

// longestMatch bounds the text that is made for a pattern.
const longestMatch = 1000

// matching is a short text that the pattern matches, if going through it finds one.
func matching(pattern string) (string, bool) {
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
	default: // what may be empty is, and places in the text are checked afterwards
	}
}

// oneOf is a character of a class, one that reads well where there is such a one.
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
