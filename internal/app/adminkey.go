package app

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"grapnel/internal/hook"
)

// adminKey is the state of the process's configured admin key.
type adminKey struct {
	// ensured is closed when the key is stored, is refused for good, or is not configured.
	ensured chan struct{}
	// taken reports whether the store accepted the key: it was the operator's key when the process started.
	taken atomic.Bool
}

// ensureAdminKey stores the configured admin key, unless it is stored already. It tries every second while the
// store is unavailable.
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
				a.options.Logger.ErrorContext(ctx, "--admin-key is refused", slog.Any("error", err))
			}
			a.adminKey.taken.Store(!refused)
			close(a.adminKey.ensured)
			return nil
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the process stops while the store is unavailable
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

// adminKeyWorks returns nil if the configured admin key is valid. A process whose key was
// replaced while it ran stays ready: a deployment is being given a new key, which must not
// take all of its processes out of service at once. A process that starts with a key that
// has ended is not ready.
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
		return errors.New("--admin-key is an API key that is not the operator's")
	}
	return errors.New("--admin-key has been revoked or has expired: configure another one")
}
