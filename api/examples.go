package api

import (
	"fmt"
	"net/http"
	"strconv"
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
			for status, response := range op.Responses {
				if media := response.Content[problemType]; media != nil {
					media.Example = exampleProblem(doc, media.Schema, status)
				}
				fillExamples(doc, response.Content)
			}
		}
	}
}

// exampleProblem is a problem of the status: the schema's own example, where that is
// its status.
func exampleProblem(doc *huma.OpenAPI, s *huma.Schema, status string) any {
	example, ok := exampleOf(doc, s).(map[string]any)
	code, err := strconv.Atoi(status)
	if !ok || err != nil || fmt.Sprint(example["status"]) == status {
		return example
	}
	return map[string]any{"type": "about:blank", "title": http.StatusText(code), "status": code, "code": codeOf(code)}
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
