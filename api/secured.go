package api

import "net/http"

// answersPolicy lets a browser that is led to an answer do nothing with it.
const answersPolicy = "default-src 'none'; frame-ancestors 'none'"

// secured adds security and cache headers to every answer. Answers may contain secrets, keys and customers' data, so no
// cache may store them; answers that may be stored replace the header.
func secured(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", answersPolicy)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		next.ServeHTTP(w, r)
	})
}
