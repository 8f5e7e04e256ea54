package dispatch

import (
	"context"
	"math/rand/v2"
	"time"
)

// Health reports whether Temporal can be asked for something; cluster.Cluster does. It is
// cheap.
type Health interface {
	Ready(ctx context.Context) error
}

// mostStepBack bounds how long a process keeps back.
const mostStepBack = time.Minute

// stepBack keeps a process back whose Temporal does not answer, so that one that has lost
// its way to it alone leaves the work to the others: after each failure for twice as long,
// up to a minute, with jitter. Before it begins again it asks Temporal, with nothing in its
// hands that others could do.
type stepBack struct {
	interval time.Duration
	failures int
	until    time.Time
}

// failed says that Temporal was away.
func (b *stepBack) failed() {
	b.failures++
	wait := mostStepBack
	if doubled := b.interval << min(b.failures, 16); doubled > 0 {
		wait = min(wait, doubled)
	}
	b.until = time.Now().Add(wait/2 + rand.N(wait/2+1))
}

// over reports whether there is nothing to wait for, or no longer, Temporal having answered.
func (b *stepBack) over(ctx context.Context, h Health) (bool, error) {
	if b.failures == 0 {
		return true, nil
	}
	if time.Now().Before(b.until) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := h.Ready(ctx); err != nil {
		b.failed()
		return false, err
	}
	return true, nil
}

// answered says that Temporal did what it was asked for.
func (b *stepBack) answered() { b.failures = 0 }

// lastPatience is how long what has to be told the store may take when ctx has ended.
const lastPatience = 2 * time.Second

// lastly is a context for what has to be told the store, whether or not ctx has ended.
func lastly(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithTimeout(ctx, startTimeout)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), lastPatience)
}
