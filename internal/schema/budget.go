package schema

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// mostSteps bounds a check: a schema of a few lines can ask for more than there is time
// in the world. It is several times what the largest event of an ordinary schema takes.
const mostSteps = 200_000

// mostTime bounds a check beside that: what a step takes depends on the machine.
const mostTime = time.Second

// stepsOfALook is how many steps go by between two looks at the clock.
const stepsOfALook = 1000

// budget counts the steps of one check. The validator can't be told to stop, so that it
// panics when they are spent, time is up, or nobody waits any more, which within recovers.
type budget struct {
	left int
	// look is how many steps are left at the next look at the clock.
	look  int
	until time.Time
	ctx   context.Context //nolint:containedctx // of the one check that runs
}

var errSpent = errors.New("spent")

// begin is called before each check.
func (b *budget) begin(ctx context.Context) {
	b.left, b.look, b.until, b.ctx = mostSteps, mostSteps, time.Now().Add(mostTime), ctx
}

func (b *budget) spend(steps int) {
	if b.left -= steps; b.left < 0 {
		panic(errSpent)
	}
	if b.left > b.look {
		return
	}
	b.look = b.left - stepsOfALook
	if b.ctx.Err() != nil || time.Now().After(b.until) {
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
