package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json/jsontext"

	"grapnel/internal/hook"
	"grapnel/internal/schema"
)

// jsonSchema is a JSON Schema, in canonical form after decoding.
type jsonSchema jsontext.Value

// Schema documents it as a JSON Schema.
func (jsonSchema) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "A JSON Schema (2020-12), an object or a boolean, of at most 32 KiB. Nothing that it refers to is fetched. Regular expressions are those of RE2: without look-around and back-references.",
		Examples: []any{map[string]any{
			"type": "object", "required": []any{"id"},
			"properties": map[string]any{
				"id":    map[string]any{"type": "string", "minLength": 1},
				"email": map[string]any{"type": "string", "format": "email"},
			},
		}},
	}
}

// MarshalJSON writes the schema as it is.
func (s jsonSchema) MarshalJSON() ([]byte, error) { return s, nil }

// UnmarshalJSON copies the bytes.
func (s *jsonSchema) UnmarshalJSON(b []byte) error {
	*s = bytes.Clone(b)
	return nil
}

// setSchema sets the schema of a type from a request, and an example that satisfies it. null removes the schema.
func setSchema(ctx context.Context, t *hook.NewEventType, text jsonSchema) error {
	if text == nil || string(text) == "null" {
		return nil
	}
	s, err := schema.Compile(text)
	var e *schema.Error
	if errors.As(err, &e) {
		return invalid(violationsAt("body/schema", e.Problems))
	}
	if err != nil {
		return err
	}
	t.Schema = text
	if example, ok := s.Example(ctx); ok {
		t.Example = example
	}
	return nil
}

func violationsAt(place string, problems []schema.Problem) []hook.Violation {
	violations := make([]hook.Violation, 0, len(problems))
	for _, p := range problems {
		violations = append(violations, hook.Violation{Location: place + p.Pointer, Message: p.Message})
	}
	return violations
}

// compiled returns the schemas of a tenant's types with these hashes, by the name of the type. It loads only the schemas that
// this process has not compiled.
func (a *API) compiled(ctx context.Context, tenant hook.TenantID, hashes map[string]hook.SchemaHash) (map[string]*schema.Schema, error) {
	var schemas map[string]*schema.Schema
	for name, hash := range hashes {
		s := a.schemas.Find(hash)
		if s == nil {
			t, err := a.Store.EventType(ctx, tenant, name)
			if err != nil {
				return nil, err
			}
			if t.Schema == nil {
				continue // its schema has been removed
			}
			if s, err = a.compile(&t); err != nil {
				return nil, err
			}
		}
		if schemas == nil {
			schemas = make(map[string]*schema.Schema, len(hashes))
		}
		schemas[name] = s
	}
	return schemas, nil
}

func (a *API) compile(t *hook.EventType) (*schema.Schema, error) {
	s, err := a.schemas.Compile(t.Schema)
	if err != nil { // it was valid when it was stored
		return nil, &hook.Error{Kind: hook.KindInternal, Err: fmt.Errorf("schema of event type %s: %w", t.Name, err)}
	}
	return s, nil
}

// schemaOfTopic returns the schema of the event type with a topic's name; nil if there is none. Topics are free-form,
// so nothing is looked up if the tenant has no schemas.
func (a *API) schemaOfTopic(ctx context.Context, topic string) (*schema.Schema, error) {
	if !callerOf(ctx).Schemas || hook.TypeProblem(topic) != "" {
		return nil, nil
	}
	_, hashes, err := a.Store.LookUpEventTypes(ctx, tenant(ctx), []string{topic})
	if err != nil {
		return nil, err
	}
	schemas, err := a.compiled(ctx, tenant(ctx), hashes)
	return schemas[topic], err
}

// checkData refuses published data that does not satisfy the schema (S7). s may be nil.
func checkData(ctx context.Context, s *schema.Schema, data []byte) error {
	if s == nil {
		return nil
	}
	problems, err := s.Check(ctx, data)
	switch {
	case errors.Is(err, schema.ErrCostly):
		return hook.Unprocessable("body/data", "can't be held against the event type's schema: %s", err)
	case err != nil:
		return err
	default:
		return invalid(violationsAt("body/data", problems))
	}
}

// completeTest gives a test without data the example of its type's schema, or a sample if there is no schema. Data in
// the request must satisfy the schema.
func (a *API) completeTest(ctx context.Context, p *hook.Publication) error {
	var t hook.EventType
	if hook.TypeProblem(p.Type) == "" && !hook.IsBuiltIn(p.Type) {
		var err error
		if t, err = a.Store.EventType(ctx, p.TenantID, p.Type); err != nil && hook.KindOf(err) != hook.KindNotFound {
			return err
		}
	}
	switch {
	case t.Schema == nil && p.Data == nil:
		p.Data = hook.SampleData(p.Type)
	case t.Schema == nil:
	case p.Data == nil && t.Example == nil:
		return hook.Unprocessable("body/data", "must be given: no example was found that meets the event type's schema")
	case p.Data == nil:
		p.Data = t.Example
	default:
		s, err := a.compile(&t)
		if err != nil {
			return err
		}
		return checkData(ctx, s, p.Data)
	}
	return nil
}
