package schema

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"grapnel/internal/canonjson"
)

// Example returns data that satisfies the schema, in canonical JSON. It uses an example, default, const or enum of the
// schema, and otherwise the simplest value of the type. ok is false if it finds none, as for patterns that none of its
// texts match. It takes no more steps than a check may.
func (s *Schema) Example(ctx context.Context) (data []byte, ok bool) {
	if atOnce.Acquire(ctx, 1) != nil {
		return nil, false
	}
	defer atOnce.Release(1)
	p, err := compile(s.text)
	if err != nil {
		return nil, false
	}
	g := generator{left: mostMade, budget: p.budget}
	err = p.within(ctx, func() {
		for _, candidate := range g.candidates(p.root, 0) {
			if p.root.Validate(g.plain(candidate)) == nil {
				data = canonical(candidate)
				return
			}
		}
	})
	if err != nil || data == nil || len(data) > MaxExample {
		return nil, false
	}
	problems, err := s.checkNow(ctx, data)
	return data, err == nil && len(problems) == 0
}

// MaxExample bounds an example, in bytes.
const MaxExample = 32 << 10

// canonical returns the canonical JSON of a value; nil if it has none.
func canonical(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	out, err := canonjson.Canonicalize(text)
	if err != nil {
		return nil
	}
	return out
}

// Bounds of generated values, because schemas may refer to themselves.
const (
	mostMade    = 2000
	deepestMade = 12
	mostItems   = 10
)

// generator makes values. left is the number of values that it may still make.
type generator struct {
	left   int
	budget *budget
}

// candidates returns values that may satisfy the schema, the most likely one first.
func (g *generator) candidates(s *jsonschema.Schema, depth int) []any {
	if g.left--; g.left < 0 || depth > deepestMade {
		return []any{nil}
	}
	if s.Bool != nil {
		return []any{"text"}
	}
	list := slices.Clone(s.Examples)
	if s.Default != nil {
		list = append(list, *s.Default)
	}
	k := keywordsOf(s)
	if k.isConst {
		list = append(list, k.constWant)
	}
	list = append(list, k.enumWant...)
	if s.Ref != nil {
		list = append(list, g.candidates(s.Ref, depth+1)...)
	}
	list = append(list, g.ofType(s, depth)...)
	for _, alternatives := range [][]*jsonschema.Schema{s.OneOf, s.AnyOf, s.AllOf} {
		for _, alternative := range alternatives {
			for _, v := range g.candidates(alternative, depth+1) {
				list = append(list, merged(list, v), v)
			}
		}
	}
	return list
}

// merged returns the first object of the list with the members that it lacks from the others.
func merged(list []any, v any) any {
	object, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := maps.Clone(object)
	for _, other := range list {
		if more, ok := other.(map[string]any); ok {
			for name, value := range more {
				if _, has := out[name]; !has {
					out[name] = value
				}
			}
			break
		}
	}
	return out
}

// first returns the first candidate that satisfies the subschema; if none does, the most likely one.
func (g *generator) first(s *jsonschema.Schema, depth int) any {
	list := g.candidates(s, depth)
	for _, v := range list {
		if g.left--; g.left < 0 {
			break
		}
		if s.Validate(g.plain(v)) == nil {
			return v
		}
	}
	return list[0]
}

// plain converts a value to the types that the validator accepts.
func (g *generator) plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	g.budget.spend(1 + len(text)/workPerStep)
	out, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return nil
	}
	return out
}

func (g *generator) ofType(s *jsonschema.Schema, depth int) []any {
	var types []string
	if s.Types != nil {
		types = s.Types.ToStrings()
	}
	if len(types) == 0 {
		types = []string{guessed(s)}
	}
	var list []any
	for _, name := range types {
		switch name {
		case "object":
			list = append(list, g.object(s, depth))
		case "array":
			list = append(list, g.array(s, depth))
		case "string":
			list = append(list, texts(s)...)
		case "integer", "number":
			list = append(list, numbers(s, name == "integer")...)
		case "boolean":
			list = append(list, true, false)
		case "null":
			list = append(list, nil)
		}
	}
	return list
}

// guessed returns the type to which the schema's keywords apply.
func guessed(s *jsonschema.Schema) string {
	switch {
	case len(s.Properties) > 0 || len(keywordsOf(s).required) > 0 || s.MinProperties != nil:
		return "object"
	case s.Items2020 != nil || len(s.PrefixItems) > 0 || s.MinItems != nil || s.Contains != nil:
		return "array"
	case s.Minimum != nil || s.Maximum != nil || s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MultipleOf != nil:
		return "number"
	case s.Format != nil || s.Pattern != nil || s.MinLength != nil || s.MaxLength != nil:
		return "string"
	default:
		return "object"
	}
}

func (g *generator) object(s *jsonschema.Schema, depth int) any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		if p := s.Properties[name]; slices.Contains(keywordsOf(s).required, name) || depth < deepestMade/2 && !refuses(p) {
			out[name] = g.first(p, depth+1)
		}
	}
	for _, name := range keywordsOf(s).required {
		if _, ok := out[name]; !ok {
			out[name] = "text"
		}
	}
	return out
}

func refuses(s *jsonschema.Schema) bool { return s.Bool != nil && !*s.Bool }

func (g *generator) array(s *jsonschema.Schema, depth int) any {
	out := make([]any, 0, 1)
	for _, p := range s.PrefixItems {
		out = append(out, g.first(p, depth+1))
	}
	want := 1
	if s.MinItems != nil {
		want = max(want, *s.MinItems)
	}
	if s.MaxItems != nil {
		want = min(want, *s.MaxItems)
	}
	item := s.Items2020
	if item == nil {
		item = s.Contains
	}
	for len(out) < min(want, mostItems) {
		switch {
		case item == nil:
			out = append(out, "text")
		case keywordsOf(s).unique:
			list := g.candidates(item, depth+1)
			out = append(out, list[len(out)%len(list)])
		default:
			out = append(out, g.first(item, depth+1))
		}
	}
	return out
}

func texts(s *jsonschema.Schema) []any {
	if s.Format != nil {
		if v, ok := formats()[s.Format.Name]; ok {
			return []any{v}
		}
	}
	text := "text"
	if s.MinLength != nil && *s.MinLength > len(text) {
		text += strings.Repeat("x", min(*s.MinLength, 10_000)-len(text))
	}
	if s.MaxLength != nil && *s.MaxLength < len(text) {
		text = text[:*s.MaxLength]
	}
	if s.Pattern == nil {
		return []any{text}
	}
	if v, ok := matching(s.Pattern.String()); ok {
		return []any{v, text}
	}
	return []any{text}
}

// formats returns a text for each format.
func formats() map[string]string {
	return map[string]string{
		"date-time": "2026-01-15T12:30:00Z", "date": "2026-01-15", "time": "12:30:00Z", "duration": "PT1H", "email": "john@example.com",
		"idn-email": "john@example.com", "hostname": "example.com", "idn-hostname": "example.com", "ipv4": "192.0.2.1", "ipv6": "2001:db8::1",
		"uri": "https://example.com/", "uri-reference": "/path", "iri": "https://example.com/", "iri-reference": "/path",
		"uuid": "2535af08-a139-4d0c-9827-1651e46dfbcf", "uri-template": "https://example.com/{id}", "json-pointer": "/a", "relative-json-pointer": "0",
		"regex": "^a$",
	}
}

// numbers returns numbers that the bounds may allow.
func numbers(s *jsonschema.Schema, integer bool) []any {
	var list []any
	add := func(r *big.Rat) {
		f, _ := r.Float64()
		if integer {
			f = math.Ceil(f)
		}
		list = append(list, f)
	}
	one := big.NewRat(1, 1)
	add(one)
	for _, bound := range []*big.Rat{s.Minimum, s.Maximum, s.MultipleOf} {
		if bound != nil {
			add(bound)
		}
	}
	if s.ExclusiveMinimum != nil {
		add(new(big.Rat).Add(s.ExclusiveMinimum, one))
		if s.ExclusiveMaximum != nil {
			add(new(big.Rat).Mul(new(big.Rat).Add(s.ExclusiveMinimum, s.ExclusiveMaximum), big.NewRat(1, 2)))
		}
	}
	if s.ExclusiveMaximum != nil {
		add(new(big.Rat).Sub(s.ExclusiveMaximum, one))
	}
	if s.MultipleOf != nil {
		for _, bound := range []*big.Rat{s.Minimum, s.ExclusiveMinimum} {
			if bound == nil {
				continue
			}
			q, _ := new(big.Rat).Quo(bound, s.MultipleOf).Float64()
			if n := new(big.Rat).SetFloat64(math.Floor(q) + 1); n != nil { // nil if it is infinite
				add(n.Mul(n, s.MultipleOf))
			}
		}
	}
	add(new(big.Rat))
	return list
}
