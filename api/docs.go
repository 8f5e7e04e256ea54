package api

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// pageFiles are the files of the documentation page.
//
//go:embed docs/index.html docs/page.css docs/page.js docs/icon.svg
var pageFiles embed.FS

// reference is the script that shows the document, compressed with gzip: docs/README.md says where it is from.
//
//go:embed docs/reference.js.gz
var reference []byte

// referenceTag is the version of reference.
const referenceTag = `"scalar-1.76.0"`

// serveReference sends the script compressed, and otherwise to the few clients that do not take it so.
func serveReference(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Etag", referenceTag)
	if r.Header.Get("If-None-Match") == referenceTag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if quality(r.Header.Get("Accept-Encoding"), "gzip") > 0 {
		h.Set("Content-Encoding", "gzip")
		_, _ = w.Write(reference) // an error means that the client has gone
		return
	}
	unzip, err := gzip.NewReader(bytes.NewReader(reference))
	if err != nil {
		panic("api: embedded script: " + err.Error()) // impossible: a test reads it
	}
	_, _ = io.Copy(w, unzip) //nolint:gosec // it is our own file; an error means that the client has gone
}

// docsPolicy is the content security policy of the documentation page: it may load files of this server, and what its script
// makes, styles and images in data URLs.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// registerDocs serves the documentation from this binary alone: the OpenAPI document, and a script
// that shows it. Nothing comes from other servers.
func (a *API) registerDocs(mux *http.ServeMux) {
	own := http.FileServerFS(pageFiles)
	mux.Handle("GET /docs/{$}", documented(own))
	for _, name := range []string{"page.js", "page.css", "icon.svg"} {
		mux.Handle("GET /docs/"+name, documented(own))
	}
	mux.Handle("GET /docs/reference.js", documented(http.HandlerFunc(serveReference)))
	document := sync.OnceValues(func() ([]byte, error) { return docsDocument(a.huma.OpenAPI()) })
	mux.HandleFunc("GET /docs/openapi.json", func(w http.ResponseWriter, r *http.Request) {
		text, err := document()
		if err != nil {
			a.Logger.ErrorContext(r.Context(), "documentation", slog.Any("error", err))
			p := problemOf(nil)
			write(w, problemType, p.Status, p)
			return
		}
		w.Header().Set("Content-Type", "application/openapi+json")
		_, _ = w.Write(text) // an error means that the client has gone
	})
	mux.Handle("GET /docs", http.RedirectHandler("/docs/", http.StatusMovedPermanently))
	mux.Handle("GET /{$}", http.RedirectHandler("/docs/", http.StatusFound))
}

// documented serves files of the documentation. Ranges are ignored: the files need no key, and a header with very many
// ranges of one costs net/http processor time without bound (GO-2026-6609). The files have a policy of their own, and
// browsers may keep them and must ask whether they have changed.
func documented(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		w.Header().Set("Content-Security-Policy", docsPolicy)
		w.Header().Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// docsDocument returns the OpenAPI document for the documentation page (P8). It has only one security scheme, so that the
// page has a single field for the API key; tags by resource, in groups by audience; and samples in several languages. The
// published document has all schemes, and neither groups nor samples.
func docsDocument(doc *huma.OpenAPI) ([]byte, error) {
	text, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	var shown map[string]any
	if err := json.Unmarshal(text, &shown); err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	keepBearer(shown)
	groupOperations(shown)
	addSamples(shown)
	if text, err = json.Marshal(shown); err != nil {
		return nil, fmt.Errorf("write the document: %w", err)
	}
	return text, nil
}

// keepBearer removes all security schemes but bearer from a document.
func keepBearer(doc map[string]any) {
	components, _ := doc["components"].(map[string]any)
	schemes, _ := components["securitySchemes"].(map[string]any)
	components["securitySchemes"] = map[string]any{bearer: schemes[bearer]}
	paths, _ := doc["paths"].(map[string]any)
	for _, item := range paths {
		operations, _ := item.(map[string]any)
		for _, operation := range operations {
			op, _ := operation.(map[string]any)
			if security, _ := op["security"].([]any); len(security) > 1 {
				op["security"] = []any{map[string]any{bearer: []any{}}}
			}
		}
	}
}
