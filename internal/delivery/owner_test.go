package delivery_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/delivery"
	"grapnel/internal/hook"
)

// heartbeats is a store of processes by the bubble's clock.
type heartbeats struct {
	mu    sync.Mutex
	beats map[hook.ProcessID]time.Time
	// fail is the error of each call, and slow how long each takes before it is done.
	fail error
	slow time.Duration
}

func (h *heartbeats) set(fail error, slow time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fail, h.slow = fail, slow
}

func (h *heartbeats) Heartbeat(ctx context.Context, id hook.ProcessID) error {
	h.mu.Lock()
	fail, slow := h.fail, h.slow
	h.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if fail != nil {
		return fail
	}
	if h.beats == nil {
		h.beats = map[hook.ProcessID]time.Time{}
	}
	h.beats[id] = time.Now()
	return nil
}

func (h *heartbeats) EndProcess(_ context.Context, id hook.ProcessID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.beats, id)
	return h.fail
}

func (h *heartbeats) ProcessAlive(_ context.Context, id hook.ProcessID) (bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	at, ok := h.beats[id]
	return ok && time.Since(at) < hook.DeadAfter, h.fail
}

// onOwner runs the test in a bubble with a running lease; stop ends it.
func onOwner(t *testing.T, test func(t *testing.T, h *heartbeats, o *delivery.Owner, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h := &heartbeats{}
		o, err := delivery.NewOwner(h, slog.New(slog.DiscardHandler))
		require.NoError(t, err)
		require.Zero(t, o.Current(), "nothing is owned before the first heartbeat is written")
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = o.Run(ctx) // it never fails
		}()
		stop := func() {
			cancel()
			<-ended
		}
		defer stop()
		synctest.Wait()
		test(t, h, o, stop)
	})
}

func TestLeaseHolds(t *testing.T) {
	t.Parallel()
	onOwner(t, func(t *testing.T, h *heartbeats, o *delivery.Owner, stop func()) {
		t.Helper()
		id := o.Current()
		require.NotZero(t, id)
		require.True(t, o.Holds(id))
		require.False(t, o.Holds(hook.NewProcessID()))
		require.False(t, o.Holds(hook.ProcessID{}), "no process holds nothing")
		<-time.After(time.Hour)
		require.True(t, o.Holds(id))
		alive, err := h.ProcessAlive(t.Context(), id)
		require.NoError(t, err)
		require.True(t, alive)
		stop()
		require.False(t, o.Holds(id))
		alive, err = h.ProcessAlive(t.Context(), id)
		require.NoError(t, err)
		require.False(t, alive, "others take over at once")
	})
}

// A process that can't write its heartbeat stops before others take over, and its lease never comes back.
func TestLeaseLapses(t *testing.T) {
	t.Parallel()
	onOwner(t, func(t *testing.T, h *heartbeats, o *delivery.Owner, _ func()) {
		t.Helper()
		id := o.Current()
		<-time.After(hook.HeartbeatEvery / 2)
		h.set(errors.New("unavailable"), 0)
		begin := time.Now().Add(-hook.HeartbeatEvery / 2) // of the last heartbeat
		for o.Holds(id) {
			<-time.After(10 * time.Millisecond)
		}
		require.InDelta(t, hook.FenceAfter, time.Since(begin), float64(20*time.Millisecond))
		alive, _ := h.ProcessAlive(t.Context(), id)
		require.True(t, alive, "the fence is before the death")
		<-time.After(time.Minute)
		h.set(nil, 0)
		<-time.After(2 * hook.HeartbeatEvery)
		require.False(t, o.Holds(id))
		require.NotZero(t, o.Current(), "another lease has begun")
	})
}

// One lost heartbeat is no lapse.
func TestLeaseOutlivesALostHeartbeat(t *testing.T) {
	t.Parallel()
	onOwner(t, func(t *testing.T, h *heartbeats, o *delivery.Owner, _ func()) {
		t.Helper()
		id := o.Current()
		<-time.After(hook.HeartbeatEvery / 2)
		h.set(errors.New("unavailable"), 0)
		<-time.After(hook.HeartbeatEvery)
		h.set(nil, 0)
		<-time.After(time.Minute)
		require.True(t, o.Holds(id))
	})
}

// The age of a heartbeat counts from its beginning, because the store may have written it at once and answered late.
func TestSlowHeartbeat(t *testing.T) {
	t.Parallel()
	onOwner(t, func(t *testing.T, h *heartbeats, o *delivery.Owner, _ func()) {
		t.Helper()
		id := o.Current()
		h.set(nil, 2*time.Second)
		<-time.After(time.Minute)
		require.True(t, o.Holds(id), "each is written in time")
		h.set(nil, hook.FenceAfter)
		<-time.After(2 * hook.FenceAfter)
		require.False(t, o.Holds(id))
	})
}

// A heartbeat that begins within the lease and is written after its end does not bring the lease back: others may have
// taken over in between.
func TestLeaseLapsesDuringAHeartbeat(t *testing.T) {
	t.Parallel()
	onOwner(t, func(t *testing.T, h *heartbeats, o *delivery.Owner, _ func()) {
		t.Helper()
		id := o.Current()
		<-time.After(hook.HeartbeatEvery / 2)
		h.set(errors.New("unavailable"), 3500*time.Millisecond)
		<-time.After(hook.HeartbeatEvery) // the second heartbeat is under way; the third begins when it has failed
		h.set(nil, 3500*time.Millisecond)
		for o.Holds(id) {
			<-time.After(10 * time.Millisecond)
		}
		alive := true
		for alive {
			<-time.After(10 * time.Millisecond)
			alive, _ = h.ProcessAlive(t.Context(), id)
		}
		for range 1000 {
			<-time.After(10 * time.Millisecond)
			require.False(t, o.Holds(id), "another process may have taken over")
		}
		h.set(nil, 0)
		<-time.After(2 * hook.FenceAfter)
		require.NotZero(t, o.Current(), "another lease has begun")
	})
}

func TestNoOwnerOwnsNothing(t *testing.T) {
	t.Parallel()
	var none *delivery.Owner
	require.Zero(t, none.Current())
	require.False(t, none.Holds(hook.NewProcessID()))
	_, err := delivery.NewOwner(nil, slog.New(slog.DiscardHandler))
	require.Error(t, err)
}
