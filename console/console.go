// Package console serves the web application for operators and their customers at /console/ (P1). The application is
// in this directory, in TypeScript; its built files are committed, so that building the binary needs no Node. It uses the
// public API like any other client, so this package imports nothing of ours. Its one invariant: no answer permits a
// script, a style or a request of another origin.
package console

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var built embed.FS

// Config holds the settings of the console.
type Config struct {
	// FrameAncestors are the origins that may embed the console in a page of theirs, as https://app.example. Default:
	// none.
	FrameAncestors []string
}

// Prefix is the path below which the console is.
const Prefix = "/console/"

// file is one built file with what its answers have in common.
type file struct {
	content []byte
	// packed returns content compressed by gzip; nil if that is no shorter. It compresses at the first call, so that a
	// process starts as fast as without the console.
	packed func() []byte
	// kind is the media type.
	kind string
	// cache is the value of Cache-Control.
	cache string
}

// Handler serves the built files below /console/. Any other path there is a screen and gets the page, whose program
// reads the path. The files need no key: there is nothing in them that is not public.
func Handler(c Config) (http.Handler, error) {
	dist, err := fs.Sub(built, "dist")
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return handlerOf(dist, c)
}

func handlerOf(dist fs.FS, c Config) (http.Handler, error) {
	files := map[string]file{}
	err := fs.WalkDir(dist, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, ".") {
			return err // .vite has the manifest, which only the build reads
		}
		content, err := fs.ReadFile(dist, name)
		if err != nil {
			return err
		}
		files[name] = newFile(name, content)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	page, ok := files["index.html"]
	if !ok {
		return nil, errors.New("console: dist has no index.html")
	}
	policy := Policy(c.FrameAncestors)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		name, ok := strings.CutPrefix(r.URL.Path, Prefix)
		if !ok { // /console itself, below which relative addresses would be wrong
			http.Redirect(w, r, Prefix, http.StatusMovedPermanently)
			return
		}
		f, ok := files[name]
		if !ok && strings.HasPrefix(name, "assets/") {
			// A page of another version asks for a file that is gone: it must not get the page instead.
			h.Set("Cache-Control", "no-store")
			http.Error(w, "no such file", http.StatusNotFound)
			return
		}
		if !ok {
			f = page
		}
		f.write(w, r)
	}), nil
}

// Policy returns the Content-Security-Policy: everything comes from this origin, nothing is inline.
func Policy(frameAncestors []string) string {
	ancestors := "'none'"
	if len(frameAncestors) > 0 {
		ancestors = strings.Join(frameAncestors, " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors " + ancestors
}

func newFile(name string, content []byte) file {
	f := file{content: content, kind: mediaType(name), cache: "no-cache", packed: sync.OnceValue(func() []byte { return pack(content) })}
	switch {
	case strings.HasPrefix(name, "assets/"):
		// The name has a hash of the content.
		f.cache = "public, max-age=31536000, immutable"
	case name == "index.html":
		f.cache = "no-store"
	}
	return f
}

func pack(content []byte) []byte {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write(content)
	if errors.Join(err, z.Close()) != nil || packed.Len() >= len(content) {
		return nil
	}
	return packed.Bytes()
}

// mediaType does not ask the machine's tables, which differ.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".json":
		return "application/json"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// write answers with the file. Ranges are ignored: the files are small, and a header with very many ranges costs
// net/http processor time without bound (GO-2026-6609).
func (f file) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.cache)
	h.Set("Vary", "Accept-Encoding")
	content := f.content
	if acceptsGzip(r.Header.Get("Accept-Encoding")) {
		if packed := f.packed(); packed != nil {
			h.Set("Content-Encoding", "gzip")
			content = packed
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(content)))
	if r.Method == http.MethodHead {
		return
	}
	_, _ = w.Write(content) // an error means that the client has gone
}

// acceptsGzip reports whether a client that sent this Accept-Encoding can read gzip.
func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		coding, parameter, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimSpace(parameter)
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}
