package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"grapnel/internal/temporalclient"
)

// Run runs the parts until ctx ends or a part fails. Then it stops them in
// the order that loses nothing and sends nothing twice: the API stops accepting
// and finishes its requests, the accepted events' workflows are started, and the worker finishes
// its attempts. The shutdown takes --shutdown-timeout at most. listener is
// nil without the role API; Run closes it.
func (a *App) Run(ctx context.Context, listener net.Listener) error {
	metrics, err := a.listenMetrics(ctx)
	if err != nil {
		if listener != nil {
			err = errors.Join(err, listener.Close())
		}
		return err
	}
	s := newStages(ctx)
	if a.traces != nil {
		s.start(ctx, "traces", a.keepTraces)
	}
	if metrics != nil {
		s.start(ctx, "metrics", func(ctx context.Context) error { return a.serveMetrics(ctx, metrics) })
	}
	s.start(ctx, "search attributes", func(ctx context.Context) error { return a.cluster.KeepReady(ctx, a.options.Logger) })
	if a.owner != nil {
		s.start(ctx, "owner", a.owner.Run)
		s.start(ctx, "first attempts", a.awaitFirstAttempts)
	}
	if a.worker != nil {
		s.start(ctx, "worker", a.runWorker)
	}
	s.start(ctx, "starter", func(ctx context.Context) error { return a.starter.Run(ctx, a.plan.starts) })
	if a.owner != nil {
		s.start(ctx, "further first attempts", a.stopFirstAttempts)
	}
	s.start(ctx, "sweeper", a.sweeper.Run)
	s.start(ctx, "maintenance", a.maintenance.Run)
	s.start(ctx, "reconciler", a.reconciler.Run)
	if a.api != nil {
		s.start(ctx, "admin key", a.ensureAdminKey)
		s.start(ctx, "topics", a.topics.Run)
		s.start(ctx, "changes", a.changes.Run)
		s.start(ctx, "api", func(ctx context.Context) error { return a.serveAPI(ctx, listener) })
	}
	<-s.failed.Done()
	a.options.Logger.InfoContext(ctx, "stopping")
	return s.stop(time.Now().Add(a.options.Config.ShutdownTimeout))
}

// stopFirstAttempts begins no first attempts once ctx has ended. It waits a moment for those in flight, so that the
// starter, which stops next, can start their workflows.
func (a *App) stopFirstAttempts(ctx context.Context) error {
	<-ctx.Done()
	a.activities.Engine().StopImmediate()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.plan.starts/firstAttemptsPart)
	defer cancel()
	_ = a.activities.Engine().AwaitImmediate(within) // awaitFirstAttempts waits for the others
	return nil
}

// firstAttemptsPart is the part of the time for starts, as a divisor, in which first attempts may end.
const firstAttemptsPart = 3

// awaitFirstAttempts waits until the first attempts in flight have ended. The worker has stopped before that, so most of
// the time for its attempts has passed. Another process starts the workflows of these events.
func (a *App) awaitFirstAttempts(ctx context.Context) error {
	<-ctx.Done()
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), longestWork)
	defer cancel()
	if err := a.activities.Engine().AwaitImmediate(within); err != nil {
		a.options.Logger.WarnContext(ctx, "first attempts cut off", slog.Any("error", err))
	}
	return nil
}

// tracesPatience is how long sending the last spans may take. It is short, because spans may
// be lost.
const tracesPatience = time.Second

// keepTraces sends the last spans when everything else has stopped.
func (a *App) keepTraces(ctx context.Context) error {
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesPatience)
	defer cancel()
	if err := a.traces.Close(ctx); err != nil {
		a.options.Logger.WarnContext(ctx, "last spans not sent", slog.Any("error", err))
	}
	return nil
}

// runWorker runs the worker. If Temporal has lost its namespace, as with its whole
// database, runWorker waits until there is one again: the process may also serve the API, which
// must continue to accept events. Any other error of the worker ends the process.
func (a *App) runWorker(ctx context.Context) error {
	for {
		if err := a.cluster.AwaitReady(ctx, a.options.Logger); err != nil {
			return nil //nolint:nilerr // the process stops before Temporal has answered; nothing was started
		}
		err := a.worker.Run(ctx)
		if !temporalclient.IsLost(err) {
			return err
		}
		a.options.Logger.WarnContext(ctx, "worker stopped until Temporal has its namespace again", slog.Any("error", err))
		pause := time.NewTimer(runAgain)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return nil
		}
	}
}

// runAgain is the pause between two runs, in case Temporal reports its namespace but does not yet
// let workers poll in it.
const runAgain = time.Second

// workerRuns returns an error unless the worker takes work.
func (a *App) workerRuns(context.Context) error {
	select {
	case <-a.worker.Started():
		return nil
	default:
		return errors.New("the worker is not running")
	}
}
