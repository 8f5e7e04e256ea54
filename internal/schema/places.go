package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"grapnel/internal/clip"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// mostProblems bounds what is said of one event.
const mostProblems = 20

func wrong(pointer, message string) *Error {
	return &Error{[]Problem{{pointer, clip.Text(message, longestMessage)}}}
}

// lookAt refuses what the compiler would take and that is no schema of 2020-12.
func lookAt(document any) error {
	switch v := document.(type) {
	case bool:
		return nil
	case map[string]any:
		// Any other draft, or a meta-schema, would be fetched or guessed at.
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

// places are what a validation found, each once, the first ones.
func places(err error) []Problem {
	var found *jsonschema.ValidationError
	if !errors.As(err, &found) {
		return nil
	}
	var reasons []reason
	gather(found, &reasons)
	slices.SortStableFunc(reasons, func(a, b reason) int { return strings.Compare(a.pointer, b.pointer) })
	var list []Problem
	// What is said of a place costs more than finding it.
	for _, r := range reasons[:min(len(reasons), mostReasons)] {
		p := Problem{r.pointer, clip.Text(message(r.ErrorKind)+r.alternatives(), longestMessage)}
		if !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list[:min(len(list), mostProblems)]
}

// reason is one of what is wrong, with the place of the value.
type reason struct {
	*jsonschema.ValidationError
	pointer string
}

// mostReasons bounds how many are put into words.
const mostReasons = 5 * mostProblems

// gather goes down to where the reasons are. Where there are alternatives, none of them
// is the reason.
func gather(e *jsonschema.ValidationError, list *[]reason) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.Contains, *kind.MinContains, *kind.MaxContains:
	case *kind.PropertyNames:
		// The validator gives a name no place.
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

// mostAlternatives bounds how many reasons of alternatives are looked at.
const mostAlternatives = 8

// alternatives says what each of them asks for of the value itself; "" where that is
// nothing, or where too many were met. Alternatives within them are not gone into.
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

// Bounds of what is said of one place, in bytes: names are as long as schema and data
// have them.
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

// message says what is asked for, never what was given: that may be secret.
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

// dialect is that of regular expressions: with ECMA's, strangers' patterns could take for ever.
const dialect = "RE2's syntax, without look-around and back-references"

// values are some of a schema's, as JSON, short.
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
