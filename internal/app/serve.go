package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"grapnel/internal/contract"
)

// Bounds on what a client can make the server hold (spec 7).
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// writeTimeout counts from the end of a request's header. It is above the longest
	// operation, which reads its body, looks up its key, sends by hand, and answers.
	writeTimeout = readTimeout + contract.SendNowTimeout + 35*time.Second
)

func (a *App) newServer(handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // OPTIONS * is no path of ours either
		ErrorLog:                     slog.NewLogLogger(a.options.Logger.Handler(), slog.LevelDebug),
	}
}

// mostUnread is how much of a body is read that no handler wanted, as net/http reads where
// it keeps the connection.
const mostUnread = 256 << 10

// readToTheEnd reads what a handler has left of a body where the connection is about to be closed.
// net/http does not, and closing a connection with unread data resets it: the client, which
// was refused before it had sent all, might not get the answer.
func readToTheEnd(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := r.Body // handlers may put another in its place
		next.ServeHTTP(w, r)
		if r.Close {
			_, _ = io.CopyN(io.Discard, body, mostUnread) // it ends with the time for a body
		}
	})
}

// serveAPI serves the API until ctx ends, then finishes what is under way: first
// /readyz says no while requests are still let in, then nobody new is.
func (a *App) serveAPI(ctx context.Context, l net.Listener) error {
	server := a.newServer(readToTheEnd(a.api))
	// Subscribers that wait would keep it from stopping; they go to another process.
	server.RegisterOnShutdown(a.api.EndPolls)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(oneFormat{l}) }()
	a.options.Logger.InfoContext(ctx, "api listening", slog.String("addr", l.Addr().String()))
	select {
	case err := <-failed:
		return fmt.Errorf("serve api: %w", err)
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.plan.requests)
	defer cancel()
	a.api.Drain()
	// However long the delay, requests under way get the other half.
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

// listenMetrics takes the address of the metrics; nil when there is none, or it
// is busy: that two processes share the default must not keep one from working.
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

// serveMetrics serves the metrics until ctx ends; a scrape that is cut off is no loss.
func (a *App) serveMetrics(ctx context.Context, l net.Listener) error {
	server := a.newServer(a.side())
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
