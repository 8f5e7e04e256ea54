package api

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"grapnel/internal/canonjson"
	"grapnel/internal/clip"
	"grapnel/internal/hook"
)

// Bodies with published data are not read by Huma: its validation decodes numbers to float64 and would lose the digits
// whose loss spec 2 requires to refuse. They are brought into canonical form as a whole and then decoded.

// unknownMembers states what happens to members that an operation does not know.
type unknownMembers bool

const (
	refuseUnknown unknownMembers = false // a typo must not pass silently (spec 6)
	ignoreUnknown unknownMembers = true  // Momento's and Commenda's surfaces (spec 6)
)

// readBody decodes a request's body into v, a pointer to a struct. Members of type anyJSON get canonical JSON.
func readBody(raw []byte, v any, unknown unknownMembers) error {
	if err := checkPresent(raw); err != nil {
		return err
	}
	canonical, err := canonicalMembers(raw, membersOf(v), unknown)
	if err != nil {
		return err
	}
	err = json.Unmarshal(canonical, v)
	var semantic *json.SemanticError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &semantic):
		return invalid(misfits(canonical, v))
	default:
		return &hook.Error{Kind: hook.KindInvalid, Message: "the request body could not be read", Err: err}
	}
}

// checkPresent refuses an empty body and one that starts with a byte order mark.
func checkPresent(raw []byte) error {
	if len(bytes.TrimSpace(raw)) == 0 {
		return &hook.Error{Kind: hook.KindInvalid, Message: "the request body is missing"}
	}
	if bytes.HasPrefix(raw, []byte("\ufeff")) {
		return hook.Unprocessable("body", "starts with a byte order mark; send UTF-8 without one")
	}
	return nil
}

// misfits lists the members of an object whose types don't fit the struct v points to, in the object's order. The
// decoder itself stops at the first one.
func misfits(object []byte, v any) (violations []hook.Violation) {
	dec := jsontext.NewDecoder(bytes.NewReader(object))
	_, _ = dec.ReadToken() // the opening brace; the object has been read before
	for dec.PeekKind() == '"' {
		name, _ := dec.ReadValue()
		name = name.Clone() // the next read may overwrite it
		value, _ := dec.ReadValue()
		alone := slices.Concat([]byte{'{'}, name, []byte{':'}, value, []byte{'}'})
		var semantic *json.SemanticError
		if errors.As(json.Unmarshal(alone, reflect.New(reflect.TypeOf(v).Elem()).Interface()), &semantic) {
			violations = append(violations, hook.Violation{Location: location(string(semantic.JSONPointer)), Message: misfit(semantic)})
		}
	}
	return violations
}

// membersOf returns the names of the members of the struct v points to.
func membersOf(v any) []string {
	t := reflect.TypeOf(v).Elem()
	names := make([]string, 0, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// canonicalMembers brings each member of the body's object into canonical form by itself, so that the depth of data
// counts from data on (spec 2.2). If unknown members are refused, it stops at the first one, so that the rest of such a
// body makes no work.
func canonicalMembers(raw []byte, known []string, unknown unknownMembers) ([]byte, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if dec.PeekKind() != '{' {
		return nil, notObject(raw)
	}
	if _, err := dec.ReadToken(); err != nil {
		return nil, notObject(raw)
	}
	out := []byte{'{'}
	var seen []string
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, notObject(raw)
		}
		name := token.String()
		if !slices.Contains(known, name) {
			if unknown == refuseUnknown {
				return nil, hook.Unprocessable("body."+clip.Text(name, longestValue), "unexpected property")
			}
			if err := dec.SkipValue(); err != nil {
				return nil, notObject(raw)
			}
			continue
		}
		pointer := jsontext.Pointer("").AppendToken(name)
		if slices.Contains(seen, name) {
			return nil, notCanonical(pointer, &canonjson.Error{Reason: canonjson.ReasonDuplicateKey, Message: "the key appears twice"})
		}
		seen = append(seen, name)
		value, err := dec.ReadValue()
		if err != nil {
			return nil, notObject(raw)
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(canonjson.AppendString(out, name), ':')
		if out, err = canonjson.Append(out, value); err != nil {
			return nil, notCanonical(pointer, err)
		}
	}
	if err := endOfObject(dec); err != nil {
		return nil, notObject(raw)
	}
	return append(out, '}'), nil
}

// endOfObject reads the closing brace, after which nothing may follow.
func endOfObject(dec *jsontext.Decoder) error {
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

// notObject returns why a body is no JSON object. canonjson has the best message if it is no JSON at all.
func notObject(raw []byte) error {
	if _, err := canonjson.Canonicalize(raw); err != nil {
		return notCanonical("", err)
	}
	return hook.Unprocessable("body", "must be a JSON object")
}

// notCanonical returns the error of a value that has no canonical form, with its location in the body.
func notCanonical(at jsontext.Pointer, err error) error {
	var e *canonjson.Error
	if !errors.As(err, &e) {
		return err
	}
	kind := hook.KindUnprocessable
	if e.Reason == canonjson.ReasonNotJSON {
		kind = hook.KindInvalid
	}
	return &hook.Error{Kind: kind, Message: string(e.Reason), Violations: []hook.Violation{
		{Location: "body" + string(at) + e.Pointer, Message: e.Message},
	}}
}

// location writes a JSON pointer to a member of the body as Huma writes it: body.topics[0].
func location(pointer string) string {
	return "body" + listIndex.ReplaceAllString(strings.ReplaceAll(pointer, "/", "."), "[$1]")
}

// listIndex matches the index of a list. No member has a name that looks like one.
var listIndex = regexp.MustCompile(`\.([0-9]+)\b`)

// misfit says which type was expected of a value.
func misfit(e *json.SemanticError) string {
	want := "value of another type"
	t := e.GoType
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil {
		switch t.Kind() {
		case reflect.String:
			want = "string"
		case reflect.Struct, reflect.Map:
			want = "object"
		case reflect.Slice:
			want = "array"
		case reflect.Bool:
			want = "boolean"
		case reflect.Int, reflect.Int64:
			want = "integer"
		default:
		}
	}
	return "expected " + want
}

// required refuses a body that lacks any of the members.
func required(members map[string]bool) error {
	var violations []hook.Violation
	for name, present := range members {
		if !present {
			violations = append(violations, missing(name))
		}
	}
	slices.SortFunc(violations, func(a, b hook.Violation) int { return strings.Compare(a.Message, b.Message) })
	return invalid(violations)
}

// missing returns the violation of a missing member, in Huma's words.
func missing(name string) hook.Violation {
	return hook.Violation{Location: "body", Message: "expected required property " + name + " to be present"}
}

// jsonBody documents a body that its operation reads itself. must says whether a request has to have one.
func (a *API) jsonBody(v any, name string, must bool) *huma.RequestBody {
	return &huma.RequestBody{Required: must, Content: map[string]*huma.MediaType{jsonType: {Schema: a.schemaOf(v, name)}}}
}

// schemaOf documents a JSON value that its operation reads or writes itself.
func (a *API) schemaOf(v any, name string) *huma.Schema {
	return a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeOf(v), true, name)
}

// anyJSON is published data: any JSON value, in canonical form after decoding.
type anyJSON jsontext.Value

// Schema documents it as an unconstrained value.
func (anyJSON) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Description: "Any JSON value. It is stored and sent as JSON.stringify(JSON.parse(data)) would print it. A value that this would change is refused.",
		Examples:    []any{map[string]any{"id": "user_123", "name": "John Doe", "email": "john@example.com", "status": "active"}},
	}
}

// MarshalJSON writes the value as it is.
func (d anyJSON) MarshalJSON() ([]byte, error) { return d, nil }

// UnmarshalJSON copies the bytes.
func (d *anyJSON) UnmarshalJSON(b []byte) error {
	*d = bytes.Clone(b)
	return nil
}
