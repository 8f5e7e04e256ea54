package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// addExamples gives every JSON body in the document an example. It is composed of the examples of its members, so no
// example can contradict its schema.
func addExamples(doc *huma.OpenAPI) {
	for _, item := range doc.Paths {
		for _, op := range []*huma.Operation{item.Get, item.Put, item.Post, item.Patch, item.Delete} {
			if op == nil {
				continue
			}
			if op.RequestBody != nil {
				fillRequest(doc, op)
			}
			for status, response := range op.Responses {
				if media := response.Content[problemType]; media != nil {
					media.Example = exampleProblem(doc, media.Schema, status)
				}
				fillExamples(response.Content, func(s *huma.Schema) any { return exampleOf(doc, s) })
			}
		}
	}
}

// exampleProblem returns a problem with a status. If the example of the schema has that status, it is used.
func exampleProblem(doc *huma.OpenAPI, s *huma.Schema, status string) any {
	example, ok := exampleOf(doc, s).(map[string]any)
	code, err := strconv.Atoi(status)
	if !ok || err != nil || fmt.Sprint(example["status"]) == status {
		return example
	}
	return map[string]any{"type": "about:blank", "title": http.StatusText(code), "status": code, "code": codeOf(code)}
}

// fillExamples gives bodies without an example one that is made from their schema.
func fillExamples(content map[string]*huma.MediaType, example func(*huma.Schema) any) {
	for contentType, media := range content {
		if strings.HasSuffix(contentType, "json") && media.Schema != nil && media.Example == nil {
			media.Example = example(media.Schema)
		}
	}
}

// alsoShown lists optional members to show in the example of a request, because the request would do nothing or be
// refused without them.
func alsoShown(operation string) []string {
	return map[string][]string{
		"update-webhook":          {"description"},
		"diagnose-delivery":       {"body"},
		"put-event-type":          {"description"},
		"create-replay":           {"since", "status"},
		"create-portal-session":   {"tenant"},
		"create-commenda-webhook": {"topics"},
		"update-commenda-webhook": {"name"},
	}[operation]
}

// fillRequest gives the bodies of a request an example with the required members only. The documentation page sends it
// when a reader tries an operation out.
func fillRequest(doc *huma.OpenAPI, op *huma.Operation) {
	fillExamples(op.RequestBody.Content, func(s *huma.Schema) any { return leastOf(doc, s, alsoShown(op.OperationID)) })
}

// leastOf returns an example with the required members only, and with the optional members named in also at the top
// level.
func leastOf(doc *huma.OpenAPI, s *huma.Schema, also []string) any {
	if s.Ref != "" && len(s.Examples) == 0 {
		s = doc.Components.Schemas.SchemaFromRef(s.Ref)
	}
	switch {
	case len(s.Examples) > 0:
		return s.Examples[0]
	case s.Type == huma.TypeArray:
		if item := leastOf(doc, s.Items, nil); item != nil {
			return []any{item}
		}
		return []any{}
	case s.Type != huma.TypeObject:
		return nil
	}
	out := map[string]any{}
	for name, member := range s.Properties {
		if !slices.Contains(s.Required, name) && !slices.Contains(also, name) {
			continue
		}
		if v := leastOf(doc, member, nil); v != nil {
			out[name] = v
		}
	}
	return out
}

// exampleOf returns an example of a schema, nil if the schema has no examples.
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
