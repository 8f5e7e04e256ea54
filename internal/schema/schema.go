// Package schema holds published data against the JSON Schemas (2020-12) of event types
// (S7), and makes examples from them. Schemas are strangers' programs: nothing that they
// refer to is fetched, and what compiling and checking costs is bounded. The package does
// no I/O. Its invariant: what Example makes, Check accepts, and no message repeats a value
// of the data.
package schema

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/sync/semaphore"
)

// MaxSize bounds a schema, in bytes.
const MaxSize = 32 << 10

// Problem is what is wrong at one place, which a JSON pointer names.
type Problem struct{ Pointer, Message string }

// Error says what is wrong with a schema.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	return fmt.Sprintf("the schema is wrong at %q: %s", e.Problems[0].Pointer, e.Problems[0].Message)
}

// ErrCostly says that holding data against a schema takes more than it may.
var ErrCostly = errors.New("checking it takes too many steps")

// Schema is compiled. It is safe for concurrent use.
type Schema struct {
	text []byte
	// idle are compiled programs: each counts its own steps, so that it serves one check
	// at a time.
	idle sync.Pool
}

// program is a compiled schema and what it may still spend.
type program struct {
	root   *jsonschema.Schema
	budget *budget
}

// Compile reads a schema, which must be canonical JSON. It returns an *Error where that
// is not a schema of 2020-12, refers to what is outside of it, or is too large.
func Compile(text []byte) (*Schema, error) {
	if len(text) > MaxSize {
		return nil, wrong("", fmt.Sprintf("is %d bytes, more than %d", len(text), MaxSize))
	}
	s := &Schema{text: bytes.Clone(text)}
	p, err := compile(text)
	if err != nil {
		return nil, err
	}
	s.idle.Put(p)
	return s, nil
}

// Check says what of the data, canonical JSON, does not meet the schema: nothing, if all
// does. It returns ErrCostly where that can't be said within bounds, 200,000 steps and a
// second, and ctx's error when ctx ends. Few checks run at once; the others wait.
func (s *Schema) Check(ctx context.Context, data []byte) ([]Problem, error) {
	if err := atOnce.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("check data: %w", err)
	}
	defer atOnce.Release(1)
	return s.checkNow(ctx, data)
}

// mostAtOnce is how many checks and examples run at once in a process: what strangers'
// schemas cost takes no more than that many processors from everything else.
const mostAtOnce = 2

var atOnce = semaphore.NewWeighted(mostAtOnce) //nolint:gochecknoglobals // it bounds the process

func (s *Schema) checkNow(ctx context.Context, data []byte) ([]Problem, error) {
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("check data: %w", err)
	}
	p, ok := s.idle.Get().(*program)
	if !ok {
		if p, err = compile(s.text); err != nil {
			return nil, err // it was compiled before
		}
	}
	problems, err := p.check(ctx, v)
	if err == nil { // what was given up is in no state to be used again
		s.idle.Put(p)
	}
	return problems, err
}

func (p *program) check(ctx context.Context, v any) (problems []Problem, err error) {
	err = p.within(ctx, func() { problems = places(p.root.Validate(v)) })
	return problems, err
}

// within runs what validates until the budget is spent.
func (p *program) within(ctx context.Context, f func()) (err error) {
	p.budget.begin(ctx)
	defer func() {
		switch r := recover(); r {
		case nil:
		case any(errSpent):
			if err = ctx.Err(); err == nil {
				err = ErrCostly
			}
		default:
			panic(r)
		}
	}()
	f()
	return nil
}

// address is where a schema is said to lie; relative references are resolved by it.
const address = "https://schema.invalid/schema"

func compile(text []byte) (*program, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, wrong("", "is not JSON")
	}
	if err := lookAt(document); err != nil {
		return nil, err
	}
	b := &budget{}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.UseLoader(nothing{})
	c.UseRegexpEngine(b.regexp)
	c.AssertFormat()
	c.RegisterVocabulary(b.vocabulary())
	c.AssertVocabs()
	if err := c.AddResource(address, document); err != nil {
		return nil, compileError(err)
	}
	root, err := c.Compile(address)
	if err != nil {
		return nil, compileError(err)
	}
	b.takeOver(root)
	return &program{root, b}, nil
}

// nothing is what can be fetched.
type nothing struct{}

var errOutside = errors.New("it is outside of the schema")

// Load implements jsonschema.URLLoader.
func (nothing) Load(string) (any, error) { return nil, errOutside }
