package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"grapnel/console"
	"grapnel/internal/contract"
)

// Limits on the time and memory that a client can take (spec 7).
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// writeTimeout counts from the end of a request's header. It is longer than the longest
	// operation, which reads its body, looks up its key, sends by hand, and answers.
	writeTimeout = readTimeout + contract.SendNowTimeout + 35*time.Second
)

func (a *App) newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is answered like any unknown path
		ErrorLog:                     slog.NewLogLogger(a.options.Logger.Handler(), slog.LevelDebug),
	}
}

// mostUnread is how many bytes of a body are read after the handler has finished, as many as net/http reads when
// it keeps the connection.
const mostUnread = 256 << 10

// readToTheEnd reads the rest of a body that a handler did not read, if the connection is about to be closed.
// net/http does not, and closing a connection with unread data resets it: a client that
// was refused before it had sent its whole body might lose the answer.
func readToTheEnd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body // handlers may replace r.Body
		next.ServeHTTP(w, r)
		if r.Close {
			_, _ = io.CopyN(io.Discard, body, mostUnread) // readTimeout limits it
		}
	})
}

// handler serves the API, and the console below its prefix. Paths are compared as they are: a ServeMux would redirect
// those of the API that are not in canonical form.
func (a *App) handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path+"/", console.Prefix) {
			a.console.ServeHTTP(w, r)
			return
		}
		a.api.ServeHTTP(w, r)
	})
}

// serveAPI serves the API until ctx ends. Then /readyz fails while requests are still accepted, for
// --drain-delay; after that no new requests are accepted, and requests in progress finish.
func (a *App) serveAPI(ctx context.Context, l net.Listener) error {
	server := a.newServer(readToTheEnd(a.handler()))
	// Waiting subscribers would delay the shutdown; they reconnect to another process.
	server.RegisterOnShutdown(a.api.EndPolls)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(problemListener{l}) }()
	a.options.Logger.InfoContext(ctx, "api listening", slog.String("addr", l.Addr().String()))
	select {
	case err := <-failed:
		return fmt.Errorf("serve api: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.plan.requests)
	defer cancel()
	a.api.BeginShutdown()
	// The delay takes at most half of the time, so that requests in progress get the other half.
	delay := time.NewTimer(min(a.options.Config.DrainDelay, a.plan.requests/2))
	defer delay.Stop()
	select {
	case err := <-failed:
		return fmt.Errorf("serve api: %w", err)
	case <-delay.C:
	}
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("stop api: %w", errors.Join(err, server.Close()))
	}
	return nil
}

// listenMetrics listens on the address of the metrics. It returns nil if none is configured or the address
// is busy: two processes on one machine share the default, and both must run.
func (a *App) listenMetrics(ctx context.Context) (net.Listener, error) {
	addr := a.options.Config.MetricsAddr
	if addr == "" {
		return nil, nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		a.options.Logger.WarnContext(ctx, "no metrics: the address is in use", slog.String("metrics_addr", addr))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--metrics-addr: %w", err)
	}
	return l, nil
}

// serveMetrics serves the metrics until ctx ends. It does not wait for requests in progress: a scrape can be repeated.
func (a *App) serveMetrics(ctx context.Context, l net.Listener) error {
	server := a.newServer(a.opsHandler())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	a.options.Logger.InfoContext(ctx, "metrics listening", slog.String("addr", l.Addr().String()))
	select {
	case err := <-failed:
		return fmt.Errorf("serve metrics: %w", err)
	case <-ctx.Done():
	}
	if err := server.Close(); err != nil {
		return fmt.Errorf("stop metrics: %w", err)
	}
	return nil
}
