package api

import (
	"net/http"
	"slices"
)

// What a page of a listed origin may send, and how long its browser keeps the answer to a preflight, in seconds.
const (
	corsMethods = "GET, POST, PUT, PATCH, DELETE"
	corsHeaders = "Authorization, Content-Type, " + tenantHeader + ", " + keyHeader + ", If-None-Match, Last-Event-ID, traceparent"
	corsMaxAge  = "600"
)

// crossOrigin lets pages of the listed origins call the API from a browser (P2). Origins are compared as browsers send them.
// Credentials of the browser are never allowed: requests have their token in a header. A preflight is answered here, before
// anything looks at the request. Requests of other origins get no headers of CORS, so that browsers keep the answers from
// their pages.
func crossOrigin(origins []string, next http.Handler) http.Handler {
	if len(origins) == 0 {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin") // of every answer, also without an Origin: a cache must not mix them up
		origin := r.Header.Values("Origin")
		if len(origin) != 1 || !slices.Contains(origins, origin[0]) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin[0])
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", corsHeaders)
			h.Set("Access-Control-Max-Age", corsMaxAge)
			w.WriteHeader(http.StatusNoContent)
			return
		}
		// Without credentials, * stands for every header.
		h.Set("Access-Control-Expose-Headers", "*")
		next.ServeHTTP(w, r)
	})
}
