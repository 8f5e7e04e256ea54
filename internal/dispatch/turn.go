package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Leases are the store's.
type Leases interface {
	// Lease gives the holder a lease for a time, or prolongs it, and returns false when
	// another has it.
	Lease(ctx context.Context, name string, holder hook.LeaseHolder, d time.Duration) (bool, error)
	// EndLease gives it back.
	EndLease(ctx context.Context, name string, holder hook.LeaseHolder) error
}

const (
	reconcileName = "reconcile"
	// reconcileLease is how long others wait for one that is gone; prolongEvery is how
	// often one that is not prolongs its lease.
	reconcileLease = 30 * time.Second
	prolongEvery   = reconcileLease / 3
)

// turn is the right to reconcile, by a lease, so that nothing is held at the store while
// Temporal is asked.
type turn struct {
	leases Leases
	holder hook.LeaseHolder
	// mu is held while the lease is prolonged, which those who ask wait for.
	mu   sync.Mutex
	last time.Time
}

func newTurn(l Leases) *turn {
	t := &turn{leases: l}
	rand.Read(t.holder[:]) // it never fails since Go 1.24
	return t
}

// errTurnOver says that the lease is no longer held, or that nobody knows.
var errTurnOver = errors.New("the turn is over")

// begin takes the lease, or prolongs it.
func (t *turn) begin(ctx context.Context) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	held, err := t.leases.Lease(ctx, reconcileName, t.holder, reconcileLease)
	if held {
		t.last = now
	}
	return held, err
}

// keep prolongs the lease where it is time to.
func (t *turn) keep(ctx context.Context) error {
	t.mu.Lock()
	due := time.Since(t.last) >= prolongEvery
	t.mu.Unlock()
	if !due {
		return nil
	}
	if held, err := t.begin(ctx); err != nil || !held {
		return errTurnOver
	}
	return nil
}

// turnOver is errTurnOver where it is among the errors.
func turnOver(errs []error) error {
	for _, err := range errs {
		if errors.Is(err, errTurnOver) {
			return err
		}
	}
	return nil
}

// end gives the lease back, if it is held; otherwise it ends by itself.
func (t *turn) end(ctx context.Context) error {
	ctx, cancel := lastly(ctx)
	defer cancel()
	return t.leases.EndLease(ctx, reconcileName, t.holder)
}
