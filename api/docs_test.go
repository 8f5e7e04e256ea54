package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gopkg.in/yaml.v3"

	"grapnel/api"
)

// The documentation loads nothing from other servers.
func TestDocs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stranger := f.as("")
	page := stranger.get(t, "/docs/")
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.header.Get("Content-Type"), "text/html")
	html := string(page.body)
	require.NotRegexp(t, `(?i)(src|href|url|import|action)\s*[=(:]?\s*["'(]*\s*(https?:)?//`, html)
	script := string(stranger.get(t, "/docs/page.js").body)
	require.Contains(t, script, `url: "openapi.json"`)
	for _, off := range []string{"withDefaultFonts: false", "telemetry: false", `proxyUrl: ""`} {
		require.Contains(t, script, off)
	}
	require.Equal(t, http.StatusOK, stranger.get(t, "/docs/openapi.json").status)
	assets := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(html, -1)
	require.NotEmpty(t, assets)
	for _, asset := range assets {
		path := asset[1]
		if !strings.HasPrefix(path, "/") {
			path = "/docs/" + path
		}
		a := stranger.get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		require.NotEmpty(t, a.body, path)
		part := stranger.do(t, http.MethodGet, path, "", map[string]string{"Range": "bytes=0-0,2-2,4-4"})
		require.Equal(t, http.StatusOK, part.status, "ranges are not served")
		require.Equal(t, a.body, part.body, path)
	}
	for _, path := range []string{"/docs", "/"} {
		require.Equal(t, page.body, stranger.get(t, path).body, "%s leads there", path)
	}
}

func TestDocumentIsServed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for path, version := range map[string]string{
		"/openapi.json": "3.1.0", "/openapi.yaml": "3.1.0", "/openapi-3.0.json": "3.0.3", "/openapi-3.0.yaml": "3.0.3",
	} {
		a := f.as("").get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		var doc map[string]any
		if strings.HasSuffix(path, ".json") {
			require.NoError(t, json.Unmarshal(a.body, &doc))
		} else {
			require.NoError(t, yaml.Unmarshal(a.body, &doc))
		}
		require.Equal(t, version, doc["openapi"], path)
		require.Len(t, doc["paths"], len(api.Document("test").Paths), path)
	}
}

// docsOperations returns the operations of the documentation page's document by their ids.
func docsOperations(t *testing.T, f *fixture) (doc map[string]any, byID map[string]map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(f.as("").get(t, "/docs/openapi.json").body, &doc))
	byID = map[string]map[string]any{}
	for _, item := range doc["paths"].(map[string]any) {
		for _, op := range item.(map[string]any) {
			if op, ok := op.(map[string]any); ok && op["operationId"] != nil {
				byID[op["operationId"].(string)] = op
			}
		}
	}
	require.NotEmpty(t, byID)
	return doc, byID
}

// P8: every operation belongs to a resource, and every resource to an audience.
func TestDocsAreGrouped(t *testing.T) {
	t.Parallel()
	doc, byID := docsOperations(t, setup(t))
	described, grouped := map[string]bool{}, map[string]bool{}
	for _, tag := range objects(t, doc["tags"]) {
		require.NotEmpty(t, tag["description"])
		described[tag["name"].(string)] = true
	}
	for _, group := range objects(t, doc["x-tagGroups"]) {
		for _, name := range group["tags"].([]any) {
			require.False(t, grouped[name.(string)], "%s is in two groups", name)
			grouped[name.(string)] = true
		}
	}
	require.Equal(t, described, grouped)
	for id, op := range byID {
		require.Len(t, op["tags"], 1, id)
		require.True(t, grouped[op["tags"].([]any)[0].(string)], "%s has no group: add its path to docsGroups", id)
	}
}

// P8: every operation has samples. Those of Go call methods of the client with as many arguments as they have, those of the
// command line name commands.
func TestDocsHaveSamples(t *testing.T) {
	t.Parallel()
	client, err := os.ReadFile("../clients/go/grapnelapi.gen.go")
	require.NoError(t, err)
	commands, err := os.ReadFile("../docs/cli.md")
	require.NoError(t, err)
	_, byID := docsOperations(t, setup(t))
	called := regexp.MustCompile(`(?s)client\.(\w+WithResponse)\((.*)\)\nif err`)
	for id, op := range byID {
		byLabel := map[string]string{}
		for _, s := range objects(t, op["x-codeSamples"]) {
			byLabel[s["label"].(string)] = s["source"].(string)
			if s["label"] != "TypeScript" { // which names operations by their paths
				require.NotContains(t, s["source"], "{id}", id)
			}
		}
		require.Contains(t, byLabel["curl"], `"$GRAPNEL_URL/`, id)
		require.Contains(t, byLabel["TypeScript"], "await unwrap(grapnel.", id)
		call := called.FindStringSubmatch(byLabel["Go"])
		require.NotNil(t, call, "%s: %s", id, byLabel["Go"])
		method := regexp.MustCompile(`func \(c \*ClientWithResponses\) ` + call[1] + `\((.*), reqEditors`).FindSubmatch(client)
		require.NotNil(t, method, "%s: the Go client has no %s", id, call[1])
		args := 1 + strings.Count(regexp.MustCompile("(?s)`[^`]*`|\"(?:[^\"\\\\]|\\\\.)*\"").ReplaceAllString(call[2], ""), ",")
		require.Equal(t, 1+strings.Count(string(method[1]), ","), args, "%s: %s, %s", id, call[0], method[1])
		if command := byLabel["grapnel"]; command != "" {
			help := command[strings.LastIndex(command, "\n")+1:]
			require.Contains(t, string(commands), fmt.Sprintf("\n## %s\n", strings.TrimSuffix(help, " --help")), id)
		}
	}
}
