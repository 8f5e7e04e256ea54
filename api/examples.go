package api

import (
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// addExamples gives every JSON body in the document an example, put together
// from those of its members, so that no example can contradict its schema.
func addExamples(doc *huma.OpenAPI) {
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			if op.RequestBody != nil {
				fillExamples(doc, op.RequestBody.Content)
			}
			for _, response := range op.Responses {
				fillExamples(doc, response.Content)
			}
		}
	}
}

func fillExamples(doc *huma.OpenAPI, content map[string]*huma.MediaType) {
	for contentType, media := range content {
		if strings.HasSuffix(contentType, "json") && media.Schema != nil && media.Example == nil {
			media.Example = exampleOf(doc, media.Schema)
		}
	}
}

// exampleOf is nil where nothing is known of a value.
func exampleOf(doc *huma.OpenAPI, s *huma.Schema) any {
	if s.Ref != "" && len(s.Examples) == 0 {
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Type == huma.TypeArray:
		if item := exampleOf(doc, s.Items); item != nil {
			return []any{item}
		}
		return []any{}
	case s.Type != huma.TypeObject:
		return nil
	}
	out := map[string]any{}
	for name, member := range s.Properties {
		if v := exampleOf(doc, member); v != nil {
			out[name] = v
		}
	}
	return out
}
