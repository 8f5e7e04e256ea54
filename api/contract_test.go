package api_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"grapnel/api"
)

// contract is the OpenAPI document as clients see it. Its schemas are JSON Schema 2020-12. A validator other than
// Huma's checks requests and answers against them.
type contract struct {
	doc *huma.OpenAPI

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	compiled map[string]*jsonschema.Schema
}

const documentURL = "https://grapnel.invalid/openapi.json"

// theContract is the same for all tests, and takes longer to make than many a test.
var theContract = sync.OnceValues(makeContract)

func newContract(t *testing.T) *contract {
	t.Helper()
	c, err := theContract()
	require.NoError(t, err)
	return c
}

func makeContract() (*contract, error) {
	c := &contract{doc: api.Document("test"), compiler: jsonschema.NewCompiler(), compiled: map[string]*jsonschema.Schema{}}
	text, err := c.doc.MarshalJSON()
	if err != nil {
		return nil, err
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	return c, c.compiler.AddResource(documentURL, v)
}

// schema returns the schema at a place of the document.
func (c *contract) schema(t *testing.T, place ...string) *jsonschema.Schema {
	t.Helper()
	pointer := ""
	for _, part := range place {
		pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(part)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.compiled[pointer]; s != nil {
		return s
	}
	s, err := c.compiler.Compile(documentURL + "#" + (&url.URL{Path: pointer}).EscapedPath())
	require.NoError(t, err)
	c.compiled[pointer] = s
	return s
}

// conforms fails the test if an answer breaks the document's promises.
func (c *contract) conforms(t *testing.T, method, path string, a answer) {
	t.Helper()
	template, op := find(c.doc, method, path)
	if op == nil {
		return
	}
	status := strconv.Itoa(a.status)
	promised := op.Responses[status]
	require.NotNil(t, promised, "%s: status %d is not documented: %s", a.request, a.status, a.body)
	if len(promised.Content) == 0 {
		require.Empty(t, a.body, a.request)
		return
	}
	mediaType := a.header.Get("Content-Type")
	require.NotNil(t, promised.Content[mediaType], "%s: content type %q of %d is not documented", a.request, mediaType, a.status)
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.body))
	require.NoError(t, err, "%s: %s", a.request, a.body)
	s := c.schema(t, "paths", template, strings.ToLower(method), "responses", status, "content", mediaType, "schema")
	require.NoError(t, s.Validate(v), "%s: %s", a.request, a.body)
}

// admits reports whether the document allows a JSON body.
func (c *contract) admits(t *testing.T, method, template string, body []byte) bool {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return false
	}
	return c.schema(t, "paths", template, strings.ToLower(method), "requestBody", "content", "application/json", "schema").Validate(v) == nil
}

// find returns the document's operation for a path and the template that matches it; nil if there is none.
func find(doc *huma.OpenAPI, method, path string) (string, *huma.Operation) {
	for template, item := range doc.Paths {
		want, have := strings.Split(template, "/"), strings.Split(path, "/")
		same := len(want) == len(have)
		for i := 0; same && i < len(want); i++ {
			same = want[i] == have[i] || strings.HasPrefix(want[i], "{") && strings.Trim(have[i], ".") != "" // an empty or a dot segment is no name
		}
		if op := methods(item)[method]; same && op != nil {
			return template, op
		}
	}
	return "", nil
}

func methods(item *huma.PathItem) map[string]*huma.Operation {
	return map[string]*huma.Operation{
		http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post,
		http.MethodPatch: item.Patch, http.MethodDelete: item.Delete,
	}
}

// The validator refuses undocumented answers; otherwise it would prove nothing.
func TestContract(t *testing.T) {
	t.Parallel()
	s := newContract(t).schema(t, "paths", "/v1/webhooks", "get", "responses", "200", "content", "application/json", "schema")
	for text, ok := range map[string]bool{
		`{"webhooks":[],"next_cursor":null}`:          true,
		`{"webhooks":[],"next_cursor":"AQ"}`:          true,
		`{"webhooks":null,"next_cursor":null}`:        false,
		`{"webhooks":[]}`:                             false,
		`{"webhooks":[{}],"next_cursor":null}`:        false,
		`{"webhooks":[],"next_cursor":null,"more":1}`: false,
	} {
		var v any
		require.NoError(t, json.Unmarshal([]byte(text), &v))
		require.Equal(t, ok, s.Validate(v) == nil, text)
	}
}
