// Package schema validates published data against the JSON Schemas (2020-12) of event types (S7) and makes examples
// from schemas. Schemas are written by strangers: nothing that they refer to is fetched, and the cost of compiling and
// checking is bounded. The package does no I/O. Its invariants: Check accepts what Example makes, and no message
// repeats a value of the data.
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

// Problem describes what is wrong with the value at a JSON pointer.
type Problem struct{ Pointer, Message string }

// Error lists what is wrong with a schema.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	return fmt.Sprintf("the schema is wrong at %q: %s", e.Problems[0].Pointer, e.Problems[0].Message)
}

// ErrCostly is returned for data whose check takes more steps or time than it may.
var ErrCostly = errors.New("checking it takes too many steps")

// Schema is a compiled schema. It is safe for concurrent use.
type Schema struct {
	text []byte
	// idle has compiled programs that are not in use. A program counts its own steps, so it serves one check at a time.
	idle sync.Pool
}

// program is a compiled schema and the budget of its checks.
type program struct {
	root   *jsonschema.Schema
	budget *budget
}

// Compile compiles a schema, which must be canonical JSON. It returns an *Error if the text is no schema of 2020-12,
// refers to something outside of it, or is too large.
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

// Check returns the problems of data, which must be canonical JSON; none if data satisfies the schema. It returns
// ErrCostly if the check would take more than 200,000 steps or a second, and ctx's error if ctx ends. At most
// mostAtOnce checks run at the same time; the others wait.
func (s *Schema) Check(ctx context.Context, data []byte) ([]Problem, error) {
	if err := atOnce.Acquire(ctx, 1); err != nil {
		return nil, fmt.Errorf("check data: %w", err)
	}
	defer atOnce.Release(1)
	return s.checkNow(ctx, data)
}

// mostAtOnce bounds the checks and examples that run at the same time in a process, so that strangers' schemas take no
// more than that many processors.
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
			return nil, err // never: it was compiled before
		}
	}
	problems, err := p.check(ctx, v)
	if err == nil { // a program that was interrupted can't be used again
		s.idle.Put(p)
	}
	return problems, err
}

func (p *program) check(ctx context.Context, v any) (problems []Problem, err error) {
	err = p.within(ctx, func() { problems = places(p.root.Validate(v)) })
	return problems, err
}

// within runs a validation until the budget is spent.
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

// address is the base URI of a schema, by which relative references are resolved.
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

// nothing is a loader that refuses every URL.
type nothing struct{}

var errOutside = errors.New("it is outside of the schema")

// Load implements jsonschema.URLLoader.
func (nothing) Load(string) (any, error) { return nil, errOutside }
