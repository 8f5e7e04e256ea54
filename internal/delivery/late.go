package delivery

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// A run has to end in time, also when the store is unavailable and some of its attempts are
// not recorded. The engine then keeps these attempts and records them when the store is back,
// because an attempt that is not recorded is made once more. Until then this process does not
// send their deliveries. Other processes can't know of them, and a process that ends loses
// them: there delivery is at least once, as always.
const (
	// lateFor is how long attempts are kept, latePause the time between two tries to record.
	lateFor   = 15 * time.Minute
	latePause = time.Second
)

// late is the set of deliveries whose attempts are being recorded late.
type late struct {
	mu         sync.Mutex
	deliveries map[hook.DeliveryID]struct{}
}

func (l *late) add(records []hook.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.deliveries == nil {
		l.deliveries = map[hook.DeliveryID]struct{}{}
	}
	for i := range records {
		l.deliveries[records[i].Delivery.ID] = struct{}{}
	}
}

func (l *late) remove(records []hook.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range records {
		delete(l.deliveries, records[i].Delivery.ID)
	}
}

func (l *late) has(id hook.DeliveryID) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.deliveries[id]
	return ok
}

// recordLate goes on recording attempts after the end of their run, unless too many are kept.
func (e *Engine) recordLate(ctx context.Context, records []hook.Record) {
	room, ok := e.budget.late.try(int64(len(records)) * requestBytes)
	if !ok {
		e.log.WarnContext(ctx, "attempts not recorded: too many are kept", slog.Int("deliveries", len(records)))
		return
	}
	records = slices.Clone(records)
	e.late.add(records)
	go func() {
		defer e.budget.late.give(room)
		defer e.late.remove(records)
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateFor)
		defer cancel()
		defer Window{run: e.stopped()}.whenStopping(cancel)()
		for wait.For(write, latePause) == nil {
			recorded, err := e.store.Record(write, records)
			e.Dispatch(recorded.Starts)
			if err == nil {
				e.log.InfoContext(ctx, "attempts recorded late", slog.Int("deliveries", len(records)))
				return
			}
			if hook.KindOf(err) != hook.KindUnavailable {
				break
			}
		}
		e.log.WarnContext(ctx, "attempts not recorded: their deliveries are sent again", slog.Int("deliveries", len(records)))
	}()
}
