package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"grapnel/internal/clip"
)

// mostProblems bounds the problems that are reported of one event.
const mostProblems = 20

func wrong(pointer, message string) *Error {
	return &Error{[]Problem{{pointer, clip.Text(message, longestMessage)}}}
}

// lookAt refuses documents that the compiler would accept although they are no schemas of 2020-12.
func lookAt(document any) error {
	switch v := document.(type) {
	case bool:
		return nil
	case map[string]any:
		// The compiler would fetch a meta-schema and guess at any other draft.
		const draft = "https://json-schema.org/draft/2020-12/schema"
		if given, ok := v["$schema"]; ok && given != any(draft) && given != any(draft+"#") {
			return wrong("/$schema", "must be "+draft)
		}
		return nil
	default:
		return wrong("", "must be an object or a boolean")
	}
}

func compileError(err error) error {
	var invalid *jsonschema.SchemaValidationError
	if errors.As(err, &invalid) {
		if problems := places(invalid.Err); len(problems) > 0 {
			return &Error{problems}
		}
	}
	var outside *jsonschema.LoadURLError
	if errors.As(err, &outside) {
		return wrong("", fmt.Sprintf("refers to %q, which is outside of the schema: put it under $defs", outside.URL))
	}
	return wrong("", strings.ReplaceAll(err.Error(), address, ""))
}

// places returns the problems that a validation found: the first ones, each once.
func places(err error) []Problem {
	var found *jsonschema.ValidationError
	if !errors.As(err, &found) {
		return nil
	}
	var reasons []reason
	gather(found, &reasons)
	slices.SortStableFunc(reasons, func(a, b reason) int { return strings.Compare(a.pointer, b.pointer) })
	var list []Problem
	// Writing a message takes longer than finding the problem.
	for _, r := range reasons[:min(len(reasons), mostReasons)] {
		p := Problem{r.pointer, clip.Text(message(r.ErrorKind)+r.alternatives(), longestMessage)}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list[:min(len(list), mostProblems)]
}

// reason is a leaf of the validator's errors, with the place of the value.
type reason struct {
	*jsonschema.ValidationError
	pointer string
}

// mostReasons bounds how many reasons get a message.
const mostReasons = 5 * mostProblems

// gather collects the leaves of a validation error. For anyOf, oneOf and not it collects the combinator itself, because
// no single branch is at fault.
func gather(e *jsonschema.ValidationError, list *[]reason) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains:
	case *kind.PropertyNames:
		// The validator reports no place for the name of a member, so the object is the place.
		from := len(*list)
		for _, cause := range e.Causes {
			gather(cause, list)
		}
		for i := range (*list)[from:] {
			(*list)[from+i].pointer = clip.Text(pointer(e.InstanceLocation), longestPointer)
		}
		return
	default:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				gather(cause, list)
			}
			return
		}
	}
	*list = append(*list, reason{e, clip.Text(pointer(e.InstanceLocation), longestPointer)})
}

// mostAlternatives bounds how many reasons of alternatives are read.
const mostAlternatives = 8

// alternatives returns the requirements of an anyOf or oneOf on the value itself. It returns "" if there are none, or
// if more than one alternative was satisfied. Nested alternatives are left out.
func (r *reason) alternatives() string {
	switch r.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf:
	default:
		return ""
	}
	var found []reason
	for _, cause := range r.Causes[:min(len(r.Causes), mostAlternatives)] {
		gather(cause, &found)
	}
	var said []string
	for _, alternative := range found[:min(len(found), mostAlternatives)] {
		text := clip.Text(message(alternative.ErrorKind), longestMessage)
		if alternative.pointer == r.pointer && !slices.Contains(said, text) {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		return ""
	}
	return ": " + strings.Join(said, ", or ")
}

// Bounds of one problem, in bytes. Names in schema and data may be of any length.
const (
	longestPointer = 500
	longestMessage = 300
)

func pointer(location []string) string {
	var b strings.Builder
	for _, token := range location {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

// message says what the schema requires. It never repeats the data, which may be secret.
func message(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "must be " + strings.Join(k.Want, " or ")
	case *kind.Required:
		return "lacks " + quoted(k.Missing)
	case *kind.DependentRequired:
		return fmt.Sprintf("lacks %s, which %q needs", quoted(k.Missing), k.Prop)
	case *kind.AdditionalProperties:
		return "has members that are not allowed"
	case *kind.Format:
		if k.Want == "regex" {
			return "must be a regular expression: " + dialect
		}
		return "must be in the format " + k.Want
	case *kind.Pattern:
		return "must match the pattern " + k.Want + " (RE2)"
	case *kind.MinLength:
		return fmt.Sprintf("must have at least %d characters", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("must have at least %d items", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d items", k.Want)
	case *kind.Enum:
		return "must be one of the values that the schema lists: " + values(k.Want)
	case *kind.Const:
		return "must be the one value that the schema has: " + values([]any{k.Want})
	case *kind.FalseSchema:
		return "is not allowed"
	case *kind.AnyOf:
		return "meets none of the alternatives"
	case *kind.OneOf:
		if len(k.Subschemas) > 0 {
			return "meets more than one of the alternatives"
		}
		return "meets none of the alternatives"
	case *kind.Not:
		return "is what it must not be"
	}
	if path := k.KeywordPath(); len(path) > 0 {
		return "does not meet " + path[0]
	}
	return "does not meet the schema"
}

func quoted(names []string) string {
	list := make([]string, 0, len(names))
	for _, name := range names {
		list = append(list, fmt.Sprintf("%q", name))
	}
	return strings.Join(list, ", ")
}

// dialect names the dialect of regular expressions. With ECMAScript's, a stranger's pattern could run for ever.
const dialect = "RE2's syntax, without look-around and back-references"

// values returns values of a schema as JSON, shortened.
func values(list []any) string {
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		if text, ok := v.(string); ok && len(text) > longestMessage || b.Len() > longestMessage {
			return b.String() + "…"
		}
		text, err := json.Marshal(v)
		if err != nil {
			return b.String() + "…" // a value that JSON does not have
		}
		b.Write(text)
	}
	return b.String()
}
