package app

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"grapnel/internal/hook"
)

// adminKey is how the process stands to its configured admin key.
type adminKey struct {
	// ensured is closed when it is stored, refused for good, or none is to be.
	ensured chan struct{}
	// taken says that the store took it: it was the operator's when the process began.
	taken atomic.Bool
}

// ensureAdminKey stores the configured admin key unless it is a key already,
// again and again while the store is away.
func (a *App) ensureAdminKey(ctx context.Context) error {
	text := a.options.Config.AdminKey
	if text == "" {
		close(a.adminKey.ensured)
		return nil
	}
	for {
		err := a.store.EnsureOperatorKey(ctx, "GRAPNEL_ADMIN_KEY", text)
		kind := hook.KindOf(err)
		if refused := kind == hook.KindConflict || kind == hook.KindPrecondition; err == nil || refused {
			if refused {
				a.options.Logger.ErrorContext(ctx, "--admin-key lets nobody in", slog.Any("error", err))
			}
			a.adminKey.taken.Store(!refused)
			close(a.adminKey.ensured)
			return nil
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // stopped while the store was away
		}
		a.options.Logger.WarnContext(ctx, "admin key not stored yet", slog.Any("error", err))
		pause := time.NewTimer(time.Second)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
	}
}

// adminKeyWorks is nil when the configured admin key lets in. A process whose key was
// replaced while it ran stays ready: it belongs to a deployment that is being given a new
// one, and that must not take all of its processes out of service at once. One that
// begins with a key that has ended is not.
func (a *App) adminKeyWorks(ctx context.Context) error {
	select {
	case <-a.adminKey.ensured:
	default:
		return errors.New("the admin key is not stored yet")
	}
	text := a.options.Config.AdminKey
	if text == "" {
		return nil
	}
	state, err := a.store.OperatorKey(ctx, text)
	switch {
	case err != nil:
		return err
	case state == hook.OperatorKeyValid, state == hook.OperatorKeyReplaced && a.adminKey.taken.Load():
		return nil
	case state == hook.OperatorKeyNone:
		return errors.New("--admin-key is the text of a key that is not the operator's")
	}
	return errors.New("--admin-key has been revoked or has expired: configure another one")
}
