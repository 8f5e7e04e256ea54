package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Check returns an error if a part of the system is unavailable.
type Check func(ctx context.Context) error

// checkTimeout bounds all checks together. It is shorter than the usual timeout of a readiness probe.
const checkTimeout = 2 * time.Second

// registerHealth serves /healthz, which reports that the process lives, and /readyz, which reports whether it can work:
// the database answers and has its migrations, and the operator's key is valid. Temporal and a worker in the same
// process are shown and don't decide: while they are unavailable, the API goes on accepting events, which wait in the
// outbox (S8), so the load balancer must not take it out. Both need no key and show no causes.
func (a *API) registerHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		write(w, jsonType, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", a.ready)
}

func (a *API) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
	defer cancel()
	var mu sync.Mutex
	var wait sync.WaitGroup
	status, results := http.StatusOK, map[string]string{}
	ask := func(checks map[string]Check, decides bool) {
		for name, check := range checks {
			wait.Go(func() {
				err := check(ctx)
				mu.Lock()
				defer mu.Unlock()
				results[name] = "ok"
				if err == nil {
					return
				}
				results[name] = "unavailable"
				if decides {
					status = http.StatusServiceUnavailable
				}
				a.logCheck(ctx, name, decides, err)
			})
		}
	}
	ask(a.Checks, true)
	ask(a.Reports, false)
	wait.Wait()
	select {
	case <-a.shuttingDown:
		status, results["draining"] = http.StatusServiceUnavailable, "yes"
	default:
	}
	word := map[bool]string{true: "ready", false: "not ready"}[status == http.StatusOK]
	write(w, jsonType, status, map[string]any{"status": word, "checks": results})
}

// logCheck logs a check that failed. If it failed because the prober has gone, that is no warning.
func (a *API) logCheck(ctx context.Context, name string, decides bool, err error) {
	level := slog.LevelWarn
	if errors.Is(ctx.Err(), context.Canceled) {
		level = slog.LevelDebug
	}
	a.Logger.Log(ctx, level, "check failed", slog.String("check", name), slog.Bool("ready", !decides), slog.Any("error", err))
}
