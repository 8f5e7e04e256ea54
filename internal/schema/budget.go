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

// mostSteps bounds the steps of a check, because a schema of a few lines can demand more of them than could ever be
// done. It is several times what the largest event needs with an ordinary schema.
const mostSteps = 200_000

// mostTime also bounds a check, because the time of a step depends on the machine.
const mostTime = time.Second

// stepsPerClockCheck is the number of steps between two looks at the clock.
const stepsPerClockCheck = 1000

// budget counts the steps of one check. The validator can't be told to stop, so budget panics when the steps are spent,
// the time is up or the context has ended; within recovers the panic.
type budget struct {
	left int
	// look is the number of steps left at which to look at the clock next.
	look  int
	until time.Time
	ctx   context.Context //nolint:containedctx // of the one check that runs
}

var errSpent = errors.New("spent")

// begin resets the budget; it is called before each check.
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
	b.look = b.left - stepsPerClockCheck
	if b.ctx.Err() != nil || time.Now().After(b.until) {
		panic(errSpent)
	}
}

// vocabulary returns a vocabulary without keywords. The validator calls it for every schema it applies, which is a
// step.
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

// Bounds of a pattern. Go's regular expressions take time in proportion to the text and to the size of the compiled
// pattern.
const (
	longestPattern   = 1000
	largestProgram   = 5000
	workPerStep      = 50
	patternIsTooMuch = "takes too much to match"
)

// pattern is a regular expression whose matching spends steps of the budget.
type pattern struct {
	*regexp.Regexp
	budget *budget
	size   int
}

// MatchString implements jsonschema.Regexp.
func (p *pattern) MatchString(s string) bool {
	p.budget.spend(1 + p.size*len(s)/workPerStep)
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
