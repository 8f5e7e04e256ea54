package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"grapnel/internal/errlog"
	"grapnel/internal/hook"
)

// Heartbeats is the part of the store that has the processes that make immediate attempts.
type Heartbeats interface {
	// Heartbeat notes that the process is alive now.
	Heartbeat(ctx context.Context, id hook.ProcessID) error
	// EndProcess forgets the process: others may make its first attempts at once.
	EndProcess(ctx context.Context, id hook.ProcessID) error
	// ProcessAlive reports whether the process's last heartbeat is younger than hook.DeadAfter.
	ProcessAlive(ctx context.Context, id hook.ProcessID) (bool, error)
}

// Owner is the lease by which this process makes the first attempts of the events that it
// accepts. The lease is a ProcessID and a heartbeat in the store. It lapses when the process
// could not write its heartbeat, or stood still, for hook.FenceAfter: other processes may then
// have taken over. A lapsed lease never comes back; the next heartbeat begins another one with
// another id, so that nothing begun under the old one goes on. The methods of a nil Owner
// say that this process owns nothing.
type Owner struct {
	store Heartbeats
	log   *slog.Logger
	now   func() time.Time

	mu sync.Mutex
	id hook.ProcessID
	// beat is when the last heartbeat that was written began; zero before the first one.
	beat time.Time
}

// NewOwner returns the lease of this process, which Run takes.
func NewOwner(store Heartbeats, log *slog.Logger) (*Owner, error) {
	if store == nil || log == nil {
		return nil, errors.New("owner: store and logger are required")
	}
	return &Owner{store: store, log: log, now: time.Now, id: hook.NewProcessID()}, nil
}

// Current returns the id of the lease; none while it has lapsed.
func (o *Owner) Current() hook.ProcessID {
	if o == nil {
		return hook.ProcessID{}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.isFresh(o.now()) {
		return hook.ProcessID{}
	}
	return o.id
}

// Holds reports whether the lease with that id is this process's and has not lapsed.
func (o *Owner) Holds(id hook.ProcessID) bool { return !id.IsZero() && o.Current() == id }

// isFresh reports whether the last heartbeat is young enough.
func (o *Owner) isFresh(now time.Time) bool {
	return !o.beat.IsZero() && age(o.beat, now) < hook.FenceAfter
}

// age returns the time between two readings of the clock: by the monotonic clock or by the wall
// clock, whichever is more. The monotonic clock stands still while the machine is suspended,
// and the wall clock can be set back.
func age(from, to time.Time) time.Duration {
	return max(to.Sub(from), to.Round(0).Sub(from.Round(0)))
}

// Run keeps the lease until ctx ends; then it gives the lease up.
func (o *Owner) Run(ctx context.Context) error {
	errs := errlog.New(o.log)
	ticker := time.NewTicker(hook.HeartbeatEvery)
	defer ticker.Stop()
	for {
		errs.Log(ctx, "heartbeat", o.heartbeat(ctx))
		select {
		case <-ticker.C:
		case <-ctx.Done():
			o.end(ctx)
			return nil
		}
	}
}

// heartbeat writes one heartbeat. If the lease has lapsed, it is that of a new lease.
func (o *Owner) heartbeat(ctx context.Context) error {
	o.mu.Lock()
	begin := o.now()
	if !o.beat.IsZero() && !o.isFresh(begin) {
		o.log.WarnContext(ctx, "first attempts were left to other processes: no heartbeat for too long", slog.Duration("age", age(o.beat, begin)))
		o.id, o.beat = hook.NewProcessID(), time.Time{}
	}
	id := o.id
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, hook.FenceAfter-hook.HeartbeatEvery)
	defer cancel()
	if err := o.store.Heartbeat(ctx, id); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	if lapsed := !o.beat.IsZero() && !o.isFresh(now); lapsed {
		return nil // while the heartbeat was on its way: others may have taken over before it was written
	}
	if age(begin, now) < hook.FenceAfter { // else the process stood still meanwhile
		o.beat = begin
	}
	return nil
}

// end gives the lease up, so that others need not wait until it looks dead. Another Run takes another one.
func (o *Owner) end(ctx context.Context) {
	o.mu.Lock()
	id := o.id
	o.id, o.beat = hook.NewProcessID(), time.Time{}
	o.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), hook.HeartbeatEvery)
	defer cancel()
	if err := o.store.EndProcess(ctx, id); err != nil {
		o.log.WarnContext(ctx, "lease of first attempts not given up", slog.Any("error", err))
	}
}
