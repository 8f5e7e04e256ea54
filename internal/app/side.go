package app

import "net/http"

// side is what is served beside the API, or in a worker instead of one: the
// metrics, and for whoever runs the process /healthz, that it lives, and in a
// worker /readyz, that it takes work. A new worker that never does is
// what a rollout must stop at.
func (a *App) side() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", a.metrics.Handler())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	if a.worker == nil {
		return mux // the API has a /readyz of its own
	}
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if a.workerRuns(r.Context()) != nil {
			say(w, http.StatusServiceUnavailable, "not ready")
			return
		}
		say(w, http.StatusOK, "ready")
	})
	return mux
}

// say answers in the form of the API's /healthz.
func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"status":"` + word + `"}`)) // who hangs up has no use for it
}
