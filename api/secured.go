package api

import "net/http"

// answersPolicy is what a browser may do with an answer that it is led to: nothing.
const answersPolicy = "default-src 'none'; frame-ancestors 'none'"

// secured gives every answer the headers that browsers and caches go by. Answers may have
// secrets, keys and customers' data, so that none is kept; what may be kept says so itself.
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
