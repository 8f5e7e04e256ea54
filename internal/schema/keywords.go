package schema

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// The validator compares a value with every member of an enum, and array items with each other, as fractions if they
// are numbers, and spends nothing of the budget for it. takeOver moves these keywords into an extension that compares
// values by a text key and spends steps. It also moves required, which may have thousands of names.

// takeOver replaces the keywords in a compiled schema and in all schemas that it refers to.
func (b *budget) takeOver(root *jsonschema.Schema) {
	seen := map[*jsonschema.Schema]bool{}
	todo := []*jsonschema.Schema{root}
	for len(todo) > 0 {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s == nil || seen[s] {
			continue
		}
		seen[s] = true
		b.replace(s)
		todo = append(todo, subschemas(s)...)
	}
}

func (b *budget) replace(s *jsonschema.Schema) {
	k := keywords{budget: b, unique: s.UniqueItems, required: s.Required}
	s.UniqueItems, s.Required = false, nil
	if s.Enum != nil {
		k.enum, k.enumWant = map[string]bool{}, s.Enum.Values
		for _, v := range s.Enum.Values {
			k.enum[string(appendKey(nil, v))] = true
		}
		s.Enum = nil
	}
	if s.Const != nil {
		k.isConst, k.constKey, k.constWant = true, string(appendKey(nil, *s.Const)), *s.Const
		s.Const = nil
	}
	for _, names := range s.DependentRequired {
		k.dependent += len(names)
	}
	if k.enum != nil || k.isConst || k.unique || len(k.required)+k.dependent > 0 {
		s.Extensions = append([]jsonschema.SchemaExt{&k}, s.Extensions...)
	}
}

// keywordsOf returns the keywords that were taken over from a schema.
func keywordsOf(s *jsonschema.Schema) *keywords {
	if len(s.Extensions) > 0 {
		if k, ok := s.Extensions[0].(*keywords); ok {
			return k
		}
	}
	return &keywords{}
}

// subschemas returns the schemas that a schema applies.
func subschemas(s *jsonschema.Schema) []*jsonschema.Schema {
	list := []*jsonschema.Schema{
		s.Ref, s.RecursiveRef, s.Not, s.If, s.Then, s.Else, s.PropertyNames, s.UnevaluatedProperties,
		s.Contains, s.Items2020, s.UnevaluatedItems, s.ContentSchema,
	}
	if s.DynamicRef != nil {
		list = append(list, s.DynamicRef.Ref)
	}
	list = slices.Concat(list, s.AllOf, s.AnyOf, s.OneOf, s.PrefixItems)
	for _, sub := range s.Properties {
		list = append(list, sub)
	}
	for _, sub := range s.PatternProperties {
		list = append(list, sub)
	}
	for _, sub := range s.DependentSchemas {
		list = append(list, sub)
	}
	if sub, ok := s.AdditionalProperties.(*jsonschema.Schema); ok {
		list = append(list, sub)
	}
	return list
}

// keywords are the keywords that were taken over from one schema.
type keywords struct {
	budget *budget
	// enum has the keys of the values of enum; nil if there is no enum.
	enum     map[string]bool
	enumWant []any
	isConst  bool
	constKey string
	// constWant is the value of const.
	constWant any
	unique    bool
	required  []string
	// dependent is the number of names in dependentRequired.
	dependent int
}

// namesPerStep is how many names are looked up in an object in about the time of a step.
const namesPerStep = 10

// Validate implements jsonschema.SchemaExt.
func (k *keywords) Validate(ctx *jsonschema.ValidatorContext, v any) {
	if k.enum != nil || k.isConst {
		key := k.key(v)
		if k.isConst && key != k.constKey {
			ctx.AddError(&kind.Const{Got: v, Want: k.constWant})
		}
		if k.enum != nil && !k.enum[key] {
			ctx.AddError(&kind.Enum{Got: v, Want: k.enumWant})
		}
	}
	switch v := v.(type) {
	case []any:
		k.validateItems(ctx, v)
	case map[string]any:
		k.validateMembers(ctx, v)
	}
}

func (k *keywords) validateItems(ctx *jsonschema.ValidatorContext, items []any) {
	if !k.unique || len(items) < 2 {
		return
	}
	seen := make(map[string]int, len(items))
	for i, item := range items {
		key := k.key(item)
		if first, ok := seen[key]; ok {
			ctx.AddError(&kind.UniqueItems{Duplicates: [2]int{first, i}})
			return
		}
		seen[key] = i
	}
}

func (k *keywords) validateMembers(ctx *jsonschema.ValidatorContext, members map[string]any) {
	k.budget.spend((len(k.required) + k.dependent) / namesPerStep)
	var missing []string
	for _, name := range k.required {
		if _, ok := members[name]; !ok {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		ctx.AddError(&kind.Required{Missing: missing})
	}
}

// bytesPerStep is how many bytes of a key are written in about the time of a step.
const bytesPerStep = 64

// key returns a value as a text. Equal values have equal keys; the order of members does not matter.
func (k *keywords) key(v any) string {
	key := appendKey(nil, v)
	k.budget.spend(len(key) / bytesPerStep)
	return string(key)
}

func appendKey(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 'n')
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return strconv.AppendQuote(b, v)
	case json.Number:
		// Numbers that would lose digits as a float are refused when data is published (spec 2).
		if f, err := v.Float64(); err == nil {
			return strconv.AppendFloat(b, f+0, 'g', -1, 64) // + 0: -0 is 0
		}
		return append(b, v...)
	case []any:
		b = append(b, '[')
		for _, item := range v {
			b = append(appendKey(b, item), ',')
		}
		return append(b, ']')
	case map[string]any:
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		b = append(b, '{')
		for _, name := range names {
			b = append(appendKey(append(strconv.AppendQuote(b, name), ':'), v[name]), ',')
		}
		return append(b, '}')
	default:
		panic("schema: a value that JSON does not have") // UnmarshalJSON makes no others
	}
}
