package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
)

// Samples of requests are made from the document (P8): from the examples of parameters and bodies.

// sample is what the samples of an operation are made from.
type sample struct {
	id, method, path string
	// inPath and inQuery are the parameters in the path and the required ones in the query, with their examples.
	inPath, inQuery []sampleParameter
	// parameters says that there are some beside those of the path.
	parameters bool
	secured    bool
	// body is the example of the body, with its type; empty without one.
	body, bodyType string
}

type sampleParameter struct{ name, value string }

// addSamples gives each operation samples in several languages.
func addSamples(doc map[string]any) {
	eachOperation(doc, func(method, path string, op map[string]any) {
		s := sampleOf(method, path, op)
		list := []any{
			map[string]any{"lang": "shell", "label": "curl", "source": s.curl()},
			map[string]any{"lang": "go", "label": "Go", "source": s.goClient()},
			map[string]any{"lang": "typescript", "label": "TypeScript", "source": s.typeScript()},
		}
		if command := s.command(); command != "" {
			list = append(list, map[string]any{"lang": "shell", "label": "grapnel", "source": command})
		}
		op["x-codeSamples"] = list
	})
}

func sampleOf(method, path string, op map[string]any) (s sample) {
	s.method, s.path = method, path
	s.id, _ = op["operationId"].(string)
	security, _ := op["security"].([]any)
	s.secured = len(security) > 0
	parameters, _ := op["parameters"].([]any)
	for _, one := range parameters {
		p, _ := one.(map[string]any)
		name, _ := p["name"].(string)
		schema, _ := p["schema"].(map[string]any)
		value, ok := p["example"]
		if !ok {
			if examples, _ := schema["examples"].([]any); len(examples) > 0 {
				value = examples[0]
			} else {
				value = strings.ToUpper(name)
			}
		}
		switch required, _ := p["required"].(bool); {
		case p["in"] == "path":
			s.inPath = append(s.inPath, sampleParameter{name, fmt.Sprint(value)})
			continue
		case p["in"] == "query" && required:
			s.inQuery = append(s.inQuery, sampleParameter{name, fmt.Sprint(value)})
		}
		s.parameters = true
	}
	body, _ := op["requestBody"].(map[string]any)
	content, _ := body["content"].(map[string]any)
	for _, contentType := range []string{jsonType, "text/plain"} {
		media, ok := content[contentType].(map[string]any)
		if !ok || s.bodyType != "" {
			continue
		}
		s.bodyType = contentType
		if text, isText := media["example"].(string); isText && contentType != jsonType {
			s.body = text
		} else if b, err := json.MarshalIndent(media["example"], "", "  "); err == nil {
			s.body = string(b)
		}
	}
	return s
}

// filledPath is the path with the examples of its parameters.
func (s *sample) filledPath() string {
	path := s.path
	for _, p := range s.inPath {
		path = strings.ReplaceAll(path, "{"+p.name+"}", url.PathEscape(p.value))
	}
	query := url.Values{}
	for _, p := range s.inQuery {
		query.Set(p.name, p.value)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return path
}

func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

func (s *sample) curl() string {
	var b strings.Builder
	b.WriteString("curl")
	if s.method != "GET" && (s.method != "POST" || s.bodyType == "") {
		b.WriteString(" -X " + s.method)
	}
	b.WriteString(` "$GRAPNEL_URL` + s.filledPath() + `"`)
	if s.secured {
		b.WriteString(" \\\n  -H \"Authorization: Bearer $GRAPNEL_KEY\"")
	}
	if s.bodyType != "" {
		b.WriteString(" \\\n  -H 'Content-Type: " + s.bodyType + "' \\\n  -d " + shellQuoted(s.body))
	}
	return b.String()
}

// goName is the name of the operation in the Go client.
func (s *sample) goName() string { return exported(s.id, "-") }

// exported is a name of the document as the Go client has it.
func exported(name, separator string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, separator) {
		if word == "api" || word == "id" {
			b.WriteString(strings.ToUpper(word))
		} else {
			b.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return b.String()
}

func goQuoted(text string) string {
	if strings.Contains(text, "\n") && !strings.Contains(text, "`") {
		return "`" + text + "`"
	}
	return fmt.Sprintf("%q", text)
}

func (s *sample) goClient() string {
	args := []string{"ctx"}
	for _, p := range s.inPath {
		args = append(args, goQuoted(p.value))
	}
	name := s.goName()
	switch {
	case len(s.inQuery) > 0:
		var members []string
		for _, q := range s.inQuery {
			members = append(members, exported(q.name, "_")+": "+goQuoted(q.value))
		}
		args = append(args, "&grapnelapi."+name+"Params{"+strings.Join(members, ", ")+"}")
	case s.parameters:
		args = append(args, "nil")
	}
	if s.bodyType != "" {
		name += "WithBody"
		args = append(args, goQuoted(s.bodyType), "strings.NewReader("+goQuoted(s.body)+")")
	}
	return `client, err := grapnelapi.New(os.Getenv("GRAPNEL_URL"), os.Getenv("GRAPNEL_KEY"))
if err != nil {
	return err
}
answer, err := client.` + name + `WithResponse(` + strings.Join(args, ", ") + `)
if err == nil {
	err = grapnelapi.Check(answer)
}`
}

// scriptValue is a JSON value as TypeScript, indented as a member of an object.
func scriptValue(text string) string {
	var v any
	if json.Unmarshal([]byte(text), &v) != nil {
		b, err := json.Marshal(text)
		if err != nil {
			return `""`
		}
		return string(b)
	}
	var indented bytes.Buffer
	if json.Indent(&indented, []byte(text), "  ", "  ") != nil {
		return text
	}
	return indented.String()
}

func (s *sample) typeScript() string {
	var options []string
	var params []string
	for _, in := range []struct {
		name string
		list []sampleParameter
	}{{"path", s.inPath}, {"query", s.inQuery}} {
		var members []string
		for _, p := range in.list {
			members = append(members, fmt.Sprintf("%s: %q", p.name, p.value))
		}
		if len(members) > 0 {
			params = append(params, in.name+": { "+strings.Join(members, ", ")+" }")
		}
	}
	if len(params) > 0 {
		options = append(options, "  params: { "+strings.Join(params, ", ")+" },")
	}
	switch s.bodyType {
	case "":
	case jsonType:
		options = append(options, "  body: "+scriptValue(s.body)+",")
	default:
		options = append(options, "  ...asText,", fmt.Sprintf("  body: %q,", s.body))
	}
	call := fmt.Sprintf("grapnel.%s(%q", s.method, s.path)
	if len(options) > 0 {
		call += ", {\n" + strings.Join(options, "\n") + "\n}"
	}
	return `const grapnel = createGrapnel({ url: process.env.GRAPNEL_URL!, key: process.env.GRAPNEL_KEY! });
const answer = await unwrap(` + call + `));`
}

// commands has the command of the command line for those operations that have one, and after a bar its arguments.
func commands() map[string]string {
	return map[string]string{
		"list-webhooks": "webhooks list", "create-webhook": "webhooks create|https://yourapp.com/webhook user.created",
		"get-webhook": "webhooks get|{id}", "update-webhook": "webhooks update|{id}", "delete-webhook": "webhooks delete|{id}",
		"test-webhook": "webhooks test|{id}", "list-deliveries": "webhooks deliveries|{id}",
		"replay-webhook": "webhooks replay|--since=2026-01-15T00:00:00Z {id}",
		"list-events":    "events list", "get-event": "events why|{id}", "publish-event": "events publish|event.json",
		"list-event-types": "event-types list", "put-event-type": "event-types put|{name}", "delete-event-type": "event-types delete|{name}",
		"search-deliveries": "deliveries list", "find-id": "find|del_01kab1s6rzfkqbzry2kztmfpx1", "get-delivery": "deliveries get|{id}", "retry-delivery": "deliveries retry|{id}",
		"diagnose-delivery": "deliveries diagnose|--headers=headers.txt --body=body.json {id}",
		"create-replay":     "replay", "list-replays": "replays list", "get-replay": "replays get|{id}", "pause-replay": "replays pause|{id}",
		"resume-replay": "replays resume|{id}", "cancel-replay": "replays cancel|{id}", "list-audit-log": "audit", "get-usage": "usage",
	}
}

// command is the command line for the operation; "" if there is none. Its flags are in its help.
func (s *sample) command() string {
	command, arguments, _ := strings.Cut(commands()[s.id], "|")
	if command == "" {
		return ""
	}
	for _, p := range s.inPath {
		arguments = strings.ReplaceAll(arguments, "{"+p.name+"}", p.value)
	}
	return strings.TrimSpace("grapnel "+command+" "+arguments) + "\ngrapnel " + command + " --help"
}
