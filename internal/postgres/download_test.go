//go:build unix

package postgres

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// archive is a .txz with two empty shell scripts, bin/postgres and bin/initdb.
const archive = "" +
	"/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4Cf/AIpdADEaShsFkZA3OlG9V3Gz1uQT2IkQonAbexNN15tic70r6rNJbkVqC6RL" +
	"QH2665UL531xp7xGLwZ7XpHLBaQBV2qdi7Nuo0gRWL2O+qN31pwXdiladoiiERdokp+wHypRa5wSLaA7+1kugejdJPVJCOjn" +
	"lCD4twdSh5LV/gF5SkKYbPvxXsuLAQaowAAAAA80XW0AAaIBgFAAAAPVBCs+MA2LAgAAAAABWVo="

// TestFetch runs the real download against a repository that serves archive.
func TestFetch(t *testing.T) {
	t.Parallel()
	content, err := base64.StdEncoding.DecodeString(archive)
	require.NoError(t, err)
	var jar bytes.Buffer
	w := zip.NewWriter(&jar)
	f, err := w.Create("postgres.txz")
	require.NoError(t, err)
	_, err = f.Write(content)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	var downloads atomic.Int32
	repo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, ".jar") {
			http.NotFound(w, r) // no checksum published
			return
		}
		downloads.Add(1)
		_, _ = w.Write(jar.Bytes()) // the client notices
	}))
	t.Cleanup(repo.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections) //nolint:forcetypeassert // the library uses it

	cache := t.TempDir()
	for range 2 {
		bin, err := fetch(t.Context(), repo.URL, cache)
		require.NoError(t, err)
		require.FileExists(t, filepath.Join(bin, "postgres"))
	}
	require.EqualValues(t, 1, downloads.Load())
	left, err := filepath.Glob(filepath.Join(cache, "unpack-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestFetchWithoutARepository(t *testing.T) {
	t.Parallel()
	repo := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(repo.Close)
	_, err := fetch(t.Context(), repo.URL, t.TempDir())
	require.ErrorContains(t, err, "no version found matching "+string(downloadVersion))
}
