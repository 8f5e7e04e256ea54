package dispatch

import (
	"context"
	"math/rand/v2"
	"time"
)

// Health reports whether Temporal answers; temporalclient.Cluster does. The call is cheap.
type Health interface {
	Ready(ctx context.Context) error
}

// maxBackoff bounds the pause of a loop.
const maxBackoff = time.Minute

// backoff pauses a loop while Temporal is unavailable. A process that alone has lost its connection to Temporal so
// leaves the work to the others. The pause doubles with each failure, up to a minute, and has jitter. After the pause
// the loop asks Temporal whether it is ready, before it claims anything that another process could do.
type backoff struct {
	interval time.Duration
	failures int
	until    time.Time
}

// fail begins a pause.
func (b *backoff) fail() {
	b.failures++
	pause := maxBackoff
	if doubled := b.interval << min(b.failures, 16); doubled > 0 {
		pause = min(pause, doubled)
	}
	b.until = time.Now().Add(pause/2 + rand.N(pause/2+1))
}

// over reports whether the loop may continue: there is no pause, or it has passed and Temporal is ready. If Temporal is
// not ready, it begins the next pause and returns Temporal's error.
func (b *backoff) over(ctx context.Context, h Health) (bool, error) {
	if b.failures == 0 {
		return true, nil
	}
	if time.Now().Before(b.until) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		b.fail()
		return false, err
	}
	return true, nil
}

// reset forgets the failures, because a call to Temporal has succeeded.
func (b *backoff) reset() { b.failures = 0 }

// paused reports whether the loop does nothing at present.
func (b *backoff) paused() bool { return b.failures > 0 }

// lastWriteTimeout bounds a write to the store after ctx has ended.
const lastWriteTimeout = 2 * time.Second

// writeContext returns a context for a write to the store that has to be made even if ctx has ended.
func writeContext(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithTimeout(ctx, startTimeout)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), lastWriteTimeout)
}
