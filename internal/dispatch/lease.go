package dispatch

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Leases has the leases of the store.
type Leases interface {
	// Lease gives the holder a lease for a time, or prolongs it. It returns false if another holder has the lease.
	Lease(ctx context.Context, name string, holder hook.LeaseHolder, d time.Duration) (bool, error)
	// EndLease gives the lease back.
	EndLease(ctx context.Context, name string, holder hook.LeaseHolder) error
}

const (
	reconcileLease = "reconcile"
	// leaseFor is how long other processes wait for a holder that has crashed.
	leaseFor = 30 * time.Second
	// renewEvery is how often a holder prolongs its lease.
	renewEvery = leaseFor / 3
)

// lease is the right to reconcile. It is a lease and no lock, so that no connection to the store is held while Temporal
// is called.
type lease struct {
	leases Leases
	holder hook.LeaseHolder
	// mu guards renewed. It is held while the lease is prolonged, and everybody waits for that.
	mu      sync.Mutex
	renewed time.Time
}

func newLease(l Leases) *lease {
	t := &lease{leases: l}
	rand.Read(t.holder[:]) // it never fails since Go 1.24
	return t
}

// errLeaseLost says that another process may hold the lease.
var errLeaseLost = errors.New("the lease is lost")

// acquire takes or prolongs the lease. It returns false if another process holds the lease.
func (l *lease) acquire(ctx context.Context) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	held, err := l.leases.Lease(ctx, reconcileLease, l.holder, leaseFor)
	if held {
		l.renewed = now
	}
	return held, err
}

// renew prolongs the lease if that is due. The error is errLeaseLost if the lease could not be prolonged.
func (l *lease) renew(ctx context.Context) error {
	l.mu.Lock()
	due := time.Since(l.renewed) >= renewEvery
	l.mu.Unlock()
	if !due {
		return nil
	}
	if held, err := l.acquire(ctx); err != nil || !held {
		return errLeaseLost
	}
	return nil
}

// leaseLost returns errLeaseLost if it is among the errors, and otherwise nil.
func leaseLost(errs []error) error {
	for _, err := range errs {
		if errors.Is(err, errLeaseLost) {
			return err
		}
	}
	return nil
}

// release gives the lease back, if this process holds it. If the release fails, the lease expires.
func (l *lease) release(ctx context.Context) error {
	ctx, cancel := writeContext(ctx)
	defer cancel()
	return l.leases.EndLease(ctx, reconcileLease, l.holder)
}
