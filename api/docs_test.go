package api_test

import (
	"encoding/json"
	"net/http"
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
	require.Contains(t, string(stranger.get(t, "/docs/page.js").body), `url: "openapi.json"`)
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
