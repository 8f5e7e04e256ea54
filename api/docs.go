package api

import (
	"net/http"

	"github.com/swaggest/swgui"
	"github.com/swaggest/swgui/v5emb"
)

// registerDocs serves the documentation from this binary alone: Swagger UI on
// our OpenAPI document, nothing from elsewhere.
func registerDocs(mux *http.ServeMux) {
	page := v5emb.NewHandlerWithConfig(swgui.Config{
		Title: "Grapnel API", SwaggerJSON: "/openapi.json", BasePath: "/docs/",
		HideCurl: false, JsonEditor: false,
		SettingsUI: map[string]string{"persistAuthorization": "true", "defaultModelsExpandDepth": "0"},
	})
	mux.Handle("GET /docs/", whole(page))
	mux.Handle("GET /docs", http.RedirectHandler("/docs/", http.StatusMovedPermanently))
	mux.Handle("GET /{$}", http.RedirectHandler("/docs/", http.StatusFound))
}

// whole has files served whole: anybody may ask for them, and a header with very
// many ranges of one costs net/http processor time without bound (GO-2026-6609).
func whole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		next.ServeHTTP(w, r)
	})
}
