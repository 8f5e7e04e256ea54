package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Check tells whether a part of the system is there; nil means it is.
type Check func(ctx context.Context) error

// checkTimeout is below the usual time-out of a readiness probe.
const checkTimeout = 2 * time.Second

// registerHealth serves /healthz, which says that the process lives, and
// /readyz, which says that it can do its work: the database answers and has its
// migrations, Temporal answers. They need no key and tell no causes.
func (a *API) registerHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		write(w, "application/json", http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", a.ready)
}

func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	var mu sync.Mutex
	var wait sync.WaitGroup
	status, results := http.StatusOK, map[string]string{}
	for name, check := range a.Checks {
		wait.Go(func() {
			err := check(ctx)
			mu.Lock()
			defer mu.Unlock()
			results[name] = "ok"
			if err != nil {
				status, results[name] = http.StatusServiceUnavailable, "unavailable"
				a.Logger.WarnContext(ctx, "not ready", slog.String("check", name), slog.Any("error", err))
			}
		})
	}
	wait.Wait()
	select {
	case <-a.drained:
		status, results["draining"] = http.StatusServiceUnavailable, "yes"
	default:
	}
	word := map[bool]string{true: "ready", false: "not ready"}[status == http.StatusOK]
	write(w, "application/json", status, map[string]any{"status": word, "checks": results})
}
