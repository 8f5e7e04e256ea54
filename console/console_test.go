package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func dist() fstest.MapFS {
	return fstest.MapFS{
		"index.html":              {Data: []byte("<!doctype html>" + strings.Repeat("page ", 100))},
		"icon.svg":                {Data: []byte("<svg/>")},
		"assets/index-a1b2.js":    {Data: []byte(strings.Repeat("let a = 1;", 100))},
		"assets/index-a1b2.css":   {Data: []byte(strings.Repeat("a { color: red }", 100))},
		".vite/manifest.json":     {Data: []byte("{}")},
		"assets/unknown-a1.bin~x": {Data: []byte{0, 1, 2}},
	}
}

func handler(t *testing.T, c Config) http.Handler {
	t.Helper()
	h, err := handlerOf(dist(), c)
	require.NoError(t, err)
	return h
}

// answer is a response that has been read.
type answer struct {
	StatusCode int
	Header     http.Header
	text       string
}

func do(t *testing.T, h http.Handler, method, path string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

func TestFilesAndScreens(t *testing.T) {
	t.Parallel()
	h := handler(t, Config{})
	for path, want := range map[string]struct {
		status      int
		kind, cache string
	}{
		"/console/":                     {200, "text/html; charset=utf-8", "no-store"},
		"/console/index.html":           {200, "text/html; charset=utf-8", "no-store"},
		"/console/webhooks/hook_1":      {200, "text/html; charset=utf-8", "no-store"},
		"/console/webhooks/../x":        {200, "text/html; charset=utf-8", "no-store"},
		"/console/.vite/manifest.json":  {200, "text/html; charset=utf-8", "no-store"},
		"/console/icon.svg":             {200, "image/svg+xml", "no-cache"},
		"/console/assets/index-a1b2.js": {200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		"/console/assets/gone-a1b2.js":  {404, "text/plain; charset=utf-8", "no-store"},
		"/console/assets/":              {404, "text/plain; charset=utf-8", "no-store"},
	} {
		r := do(t, h, http.MethodGet, path)
		require.Equal(t, want.status, r.StatusCode, path)
		require.Equal(t, want.kind, r.Header.Get("Content-Type"), path)
		require.Equal(t, want.cache, r.Header.Get("Cache-Control"), path)
		require.Equal(t, "no-referrer", r.Header.Get("Referrer-Policy"), path)
		require.Equal(t, "nosniff", r.Header.Get("X-Content-Type-Options"), path)
		require.Equal(t, Policy(nil), r.Header.Get("Content-Security-Policy"), path)
	}
}

func TestPolicyPermitsNothingElse(t *testing.T) {
	t.Parallel()
	policy := Policy(nil)
	require.Contains(t, policy, "default-src 'none'; script-src 'self'; style-src 'self';")
	require.True(t, strings.HasSuffix(policy, "frame-ancestors 'none'"), policy)
	require.NotContains(t, policy, "unsafe")
	require.NotContains(t, policy, "http")

	r := do(t, handler(t, Config{FrameAncestors: []string{"https://app.example", "https://b.example:8443"}}), http.MethodGet, "/console/")
	require.True(t, strings.HasSuffix(r.Header.Get("Content-Security-Policy"), "frame-ancestors https://app.example https://b.example:8443"))
}

func TestCompression(t *testing.T) {
	t.Parallel()
	h := handler(t, Config{})
	plain := do(t, h, http.MethodGet, "/console/assets/index-a1b2.js").text
	for header, packed := range map[string]bool{"": false, "gzip": true, "br, GZIP;q=0.8": true, "gzip;q=0": false, "identity": false} {
		r := do(t, h, http.MethodGet, "/console/assets/index-a1b2.js", "Accept-Encoding", header)
		text := r.text
		require.Equal(t, "Accept-Encoding", r.Header.Get("Vary"))
		if packed {
			require.Equal(t, "gzip", r.Header.Get("Content-Encoding"), header)
			z, err := gzip.NewReader(bytes.NewReader([]byte(text)))
			require.NoError(t, err)
			unpacked, err := io.ReadAll(z)
			require.NoError(t, err)
			text = string(unpacked)
		} else {
			require.Empty(t, r.Header.Get("Content-Encoding"), header)
		}
		require.Equal(t, plain, text, header)
	}
}

func TestMethods(t *testing.T) {
	t.Parallel()
	h := handler(t, Config{})
	r := do(t, h, http.MethodHead, "/console/")
	require.Empty(t, r.text)
	require.Equal(t, http.StatusOK, r.StatusCode)
	r = do(t, h, http.MethodPost, "/console/")
	require.Equal(t, http.StatusMethodNotAllowed, r.StatusCode)
	require.Equal(t, "GET, HEAD", r.Header.Get("Allow"))
	r = do(t, h, http.MethodGet, "/console")
	require.Equal(t, http.StatusMovedPermanently, r.StatusCode)
	require.Equal(t, "/console/", r.Header.Get("Location"))
	r = do(t, h, http.MethodGet, "/console/assets/index-a1b2.js", "Range", "bytes=0-1,2-3")
	require.Equal(t, http.StatusOK, r.StatusCode)
}

func TestMissingPage(t *testing.T) {
	t.Parallel()
	_, err := handlerOf(fstest.MapFS{}, Config{})
	require.ErrorContains(t, err, "index.html")
}

// The built page itself must keep the policy: no inline script or style, nothing of another origin.
func TestBuiltFilesKeepThePolicy(t *testing.T) {
	t.Parallel()
	_, err := Handler(Config{})
	require.NoError(t, err)
	page, err := fs.ReadFile(built, "dist/index.html")
	require.NoError(t, err)
	for _, tag := range regexp.MustCompile(`<script[^>]*>`).FindAllString(string(page), -1) {
		require.Contains(t, tag, `src="/console/assets/`)
	}
	require.NotContains(t, string(page), "<style")
	require.NotRegexp(t, `\sstyle=|\son[a-z]+=`, string(page))
	require.NotRegexp(t, `(src|href)="(https?:)?//`, string(page))
}
