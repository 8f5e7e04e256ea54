package activities

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// A run has to be over in time, also when the store is away and it has results that are
// not recorded. They are kept then, and recorded when the store is back: what is not
// recorded is sent once more. Until then the deliveries are held in this process. Another
// one can't know, and a process that ends loses what it has kept: there it is at least
// once, as ever.
const (
	// lateFor is how long results are kept, latePause how often recording them is tried.
	lateFor   = 15 * time.Minute
	latePause = time.Second
)

// late are the deliveries of which results are kept.
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

// recordLate goes on recording beyond the end of the run, unless too much is kept.
func (a *Activities) recordLate(ctx context.Context, records []hook.Record) {
	room, ok := a.budget.late.try(int64(len(records)) * requestBytes)
	if !ok {
		a.log.WarnContext(ctx, "attempts not recorded: too many are kept", slog.Int("deliveries", len(records)))
		return
	}
	records = slices.Clone(records)
	a.late.add(records)
	go func() {
		defer a.budget.late.give(room)
		defer a.late.remove(records)
		write, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateFor)
		defer cancel()
		defer stops{run: a.stopped()}.whenStopping(cancel)()
		for wait.For(write, latePause) == nil {
			recorded, err := a.store.Record(write, records)
			a.dispatch(recorded.Starts)
			if err == nil {
				a.log.InfoContext(ctx, "attempts recorded late", slog.Int("deliveries", len(records)))
				return
			}
			if hook.KindOf(err) != hook.KindUnavailable {
				break
			}
		}
		a.log.WarnContext(ctx, "attempts not recorded: what they were for is sent again", slog.Int("deliveries", len(records)))
	}()
}
