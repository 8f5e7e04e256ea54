package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// drainStarts is how long a stopping process goes on starting workflows for
// what it has accepted; the rest is left to another process's sweeper.
const drainStarts = 5 * time.Second

// Run does what the roles say until ctx ends or a part fails, and then stops in
// the order that loses nothing and sends nothing twice: the API stops accepting
// and finishes its requests, what was accepted is started, the worker finishes
// what it has begun. listener is nil without the API's role.
func (a *App) Run(ctx context.Context, listener net.Listener) error {
	// Each stage ends after the one before it has.
	failed, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var errs errorList
	stage := func(run func(context.Context) error) (stop func()) {
		stageCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := run(stageCtx); err != nil {
				errs.add(err)
				fail(err)
			}
		}()
		return func() {
			cancel()
			<-done
		}
	}
	stopWorker := func() {}
	if a.worker != nil {
		stopWorker = stage(a.runWorker)
	}
	stopStarter := stage(func(ctx context.Context) error { return a.starter.Run(ctx, drainStarts) })
	stopSweeper := stage(a.sweeper.Run)
	stopAPI := func() {}
	if a.api != nil {
		go a.ensureAdminKey(failed)
		stopAPI = stage(func(ctx context.Context) error { return a.serve(ctx, listener) })
	}
	<-failed.Done()
	a.options.Logger.Info("stopping")
	stopAPI()
	stopSweeper()
	stopStarter()
	stopWorker()
	return errs.join()
}

func (a *App) runWorker(ctx context.Context) error {
	if err := a.cluster.AwaitReady(ctx, a.options.Logger); err != nil {
		return nil //nolint:nilerr // stopped before Temporal had answered; nothing was begun
	}
	return a.worker.Run(ctx)
}

// ensureAdminKey stores the configured admin key unless it is a key already,
// again and again while the store is away.
func (a *App) ensureAdminKey(ctx context.Context) {
	text := hook.Secret(a.options.Config.AdminKey.Reveal())
	defer close(a.keyed) // without a key, or at the end, there is nothing to wait for
	if text == "" {
		return
	}
	key := hook.APIKey{TenantID: hook.DefaultTenant(), Name: "GRAPNEL_ADMIN_KEY", Scopes: []hook.Scope{hook.ScopeAdmin}}
	for {
		_, err := a.store.CreateKey(ctx, key, text)
		if err == nil || hook.KindOf(err) == hook.KindConflict {
			return
		}
		a.options.Logger.WarnContext(ctx, "admin key not stored yet", slog.Any("error", err))
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// adminKeyStored tells whether the configured admin key lets in.
func (a *App) adminKeyStored(context.Context) error {
	select {
	case <-a.keyed:
		return nil
	default:
		return errors.New("the admin key is not stored yet")
	}
}

// errorList gathers errors from goroutines.
type errorList struct {
	mu   sync.Mutex
	list []error
}

func (e *errorList) add(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, err)
}

func (e *errorList) join() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return errors.Join(e.list...)
}
