package app

import "net/http"

// opsHandler serves what operators need, at --metrics-addr: the metrics, /healthz (the process is alive), and in a
// process with a worker alone /readyz (the worker takes work). A rollout must stop at a new worker that never
// becomes ready.
func (a *App) opsHandler() http.Handler {
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

// say answers in the format of the API's /healthz.
func say(w http.ResponseWriter, status int, word string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`{"status":"` + word + `"}`)) // a client that is gone needs no answer
}
