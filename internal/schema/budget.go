package schema

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// mostSteps bounds a check: a schema of a few lines can ask for more than there is time
// in the world. It is several times what the largest event of an ordinary schema takes.
const mostSteps = 200_000

// budget counts the steps of one check. The validator can't be told to stop, so that it
// panics when they are spent, which check recovers.
type budget struct{ left int }

var errSpent = errors.New("spent")

func (b *budget) spend(steps int) {
	if b.left -= steps; b.left < 0 {
		panic(errSpent)
	}
}

// vocabulary has no keywords: it is there for being asked at every step.
func (b *budget) vocabulary() *jsonschema.Vocabulary {
	return &jsonschema.Vocabulary{
		URL:     "grapnel:budget",
		Compile: func(*jsonschema.CompilerContext, map[string]any) (jsonschema.SchemaExt, error) { return step{b}, nil },
	}
}

type step struct{ budget *budget }

// Validate implements jsonschema.SchemaExt.
func (s step) Validate(ctx *jsonschema.ValidatorContext, _ any) {
	s.budget.spend(1 + len(ctx.ValueLocation())) // errors copy the place
}

// Bounds of a pattern: Go's take time in proportion to the text and to what they are
// compiled to.
const (
	longestPattern   = 1000
	largestProgram   = 5000
	workOfAStep      = 50
	patternIsTooMuch = "takes too much to match"
)

// pattern is a regular expression that spends.
type pattern struct {
	*regexp.Regexp
	budget *budget
	size   int
}

// MatchString implements jsonschema.Regexp.
func (p *pattern) MatchString(s string) bool {
	p.budget.spend(1 + p.size*len(s)/workOfAStep)
	return p.Regexp.MatchString(s)
}

func (b *budget) regexp(text string) (jsonschema.Regexp, error) {
	if len(text) > longestPattern {
		return nil, fmt.Errorf("pattern of %d bytes, more than %d", len(text), longestPattern)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, err
	}
	if len(program.Inst) > largestProgram {
		return nil, errors.New(patternIsTooMuch)
	}
	re, err := regexp.Compile(text)
	if err != nil {
		return nil, err
	}
	return &pattern{re, b, len(program.Inst)}, nil
}
