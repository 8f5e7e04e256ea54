// Package changes lets any number of readers ask whether something is new for them, at almost no cost: a process looks at
// the store once per second for all of them together, and only while somebody asks. It answers from memory. It must not
// import the API or a driver. Its invariant: a change that is committed after a reader got its cursor is announced to a
// reader of that cursor, in whichever process it asks; what it announces may be nothing new.
package changes

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"grapnel/internal/errlog"
	"grapnel/internal/hook"
)

// Store is the part of the store that a Watch needs.
type Store interface {
	// Changes returns what has become visible since an earlier look, and nothing without one.
	Changes(ctx context.Context, since hook.Snapshot) (hook.Changes, error)
}

// Config is the configuration of a Watch. Store and Logger are required.
type Config struct {
	Store  Store
	Logger *slog.Logger
	// Every is the time between two looks; default 1 s.
	Every time.Duration
}

const (
	defaultEvery = time.Second
	// lookTimeout bounds a look.
	lookTimeout = 2 * time.Second
	// oldest is how long ago the look before may be: the store keeps what a look finds for a little longer. After a longer
	// time everything counts as changed.
	oldest = 3 * time.Second
	// idleAfter is how long the process goes on looking when nobody asks.
	idleAfter = 30 * time.Second
	// kept is how long changes are remembered. To a reader with an older cursor everything has changed.
	kept = 10 * time.Minute
	// ahead is how far a cursor may be ahead of this process, which another process gave.
	ahead = time.Minute
	// stale is how old the last look may be for an answer, and patience how long a reader waits for a newer one.
	stale, patience = 5 * time.Second, 5 * time.Second
)

// Watch answers whether something has changed. It is safe for concurrent use.
type Watch struct {
	Config
	process uint32
	// wanted wakes Run if it is idle.
	wanted chan struct{}

	mu sync.Mutex
	// asked is when somebody asked last.
	asked time.Time
	// waiting is the number of readers that are waiting.
	waiting int
	// looked is when the last look ended that succeeded, by this process's clock; now is its snapshot.
	looked time.Time
	now    hook.Snapshot
	// seen and mark are times of the store's clock, in microseconds: everything before seen was seen, and mark is that of the
	// last look that found something. mark never goes back.
	seen, mark int64
	// missed and floor are times around the last look before which something may have been missed. A cursor of this process
	// is good from missed on, which is when that look began; one of another process from when it had ended.
	missed, floor int64
	// tenants and webhooks are the marks of what has changed; wide those of what may concern all webhooks of a tenant, and
	// everything those of what concerns all tenants.
	tenants, wide map[hook.TenantID]int64
	webhooks      map[hook.Change]int64
	everything    int64
	pruned        time.Time
	// changed is closed by the next look that finds something, or after which readers may have an answer again.
	changed chan struct{}
}

// New returns a Watch. It looks only while Run runs.
func New(c Config) (*Watch, error) {
	if c.Store == nil || c.Logger == nil || c.Every < 0 || c.Every >= oldest {
		return nil, errors.New("changes: a store, a logger and an interval below 3 s are required")
	}
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	return &Watch{
		Config: c, process: rand.Uint32(), wanted: make(chan struct{}, 1),
		tenants: map[hook.TenantID]int64{}, wide: map[hook.TenantID]int64{}, webhooks: map[hook.Change]int64{}, changed: make(chan struct{}),
	}, nil
}

// Run looks at the store while somebody asks, until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	failures := errlog.New(w.Logger)
	ticker := time.NewTicker(w.Every)
	defer ticker.Stop()
	for {
		if w.isWanted() {
			failures.Log(ctx, "look for changes", w.look(ctx))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-w.wanted:
		}
	}
}

func (w *Watch) isWanted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting > 0 || time.Since(w.asked) < idleAfter
}

// look looks once.
func (w *Watch) look(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	w.mu.Lock()
	since := w.now
	w.mu.Unlock()
	found, err := w.Store.Changes(bounded, since)
	if err != nil {
		return err
	}
	w.note(&found, since != "")
	return nil
}

// note takes over what a look has found.
func (w *Watch) note(found *hook.Changes, after bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	begun := found.Begun.UnixMicro()
	mark := max(found.Ended.UnixMicro(), w.mark+1)
	// Rows that were written between the looks may be gone, by this process's clock or by the store's.
	gap := !after || now.Sub(w.looked) > oldest || begun-w.seen > oldest.Microseconds()
	if gap {
		w.missed, w.floor, w.mark = begun, mark, mark
	}
	w.missed = min(w.missed, begun) // the store's clock may go back, and its readers' cursors with it
	wake := gap || w.looked.IsZero() || now.Sub(w.looked) > stale
	for _, c := range found.List {
		w.mark, wake = mark, true
		if c.TenantID == (hook.TenantID{}) {
			w.everything = mark
			continue
		}
		w.tenants[c.TenantID] = mark
		if c.WebhookID == (hook.WebhookID{}) {
			w.wide[c.TenantID] = mark
		} else {
			w.webhooks[c] = mark
		}
	}
	w.looked, w.now, w.seen = now, found.Now, begun
	w.prune(now)
	if wake {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// prune forgets old changes, at most once per minute. The caller must hold mu.
func (w *Watch) prune(now time.Time) {
	if now.Sub(w.pruned) < time.Minute {
		return
	}
	w.pruned = now
	old := w.seen - kept.Microseconds()
	w.missed, w.floor = max(w.missed, old), max(w.floor, old)
	dropOld(w.tenants, old)
	dropOld(w.wide, old)
	dropOld(w.webhooks, old)
}

func dropOld[K comparable](marks map[K]int64, old int64) {
	for k, mark := range marks {
		if mark < old {
			delete(marks, k)
		}
	}
}

// Wait answers whether something in the scope has changed since the cursor, and returns the cursor for the next question. If
// nothing has, it waits for a change for up to a time; 0 does not wait. It returns an error if the store is unavailable, or
// ctx ends.
func (w *Watch) Wait(ctx context.Context, scope hook.ChangeScope, since hook.ChangeCursor, most time.Duration) (hook.ChangeCursor, bool, error) {
	defer w.enter()()
	over := time.NewTimer(most)
	defer over.Stop()
	begun := time.Now()
	for {
		cursor, changed, fresh, next := w.answer(scope, since)
		if fresh && (changed || time.Since(begun) >= most) {
			return cursor, changed, nil
		}
		late := over.C
		if !fresh {
			late = time.After(max(patience-time.Since(begun), 0))
		}
		select {
		case <-next:
		case <-late:
			if !fresh {
				return cursor, false, hook.Unavailable("the store", errors.New("changes: no look has succeeded lately"))
			}
		case <-ctx.Done():
			return cursor, false, ctx.Err()
		}
	}
}

// enter counts a reader until leave is called.
func (w *Watch) enter() (leave func()) {
	w.mu.Lock()
	idle := w.waiting == 0 && time.Since(w.looked) > w.Every
	w.waiting++
	w.mu.Unlock()
	if idle {
		select {
		case w.wanted <- struct{}{}:
		default: // it is woken already
		}
	}
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.waiting--
		w.asked = time.Now()
	}
}

// answer compares a cursor with what is known. fresh reports whether that is new enough for an answer; next is closed when
// there is more to compare with.
func (w *Watch) answer(scope hook.ChangeScope, since hook.ChangeCursor) (cursor hook.ChangeCursor, changed, fresh bool, next <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	mark := w.markOf(scope)
	cursor = hook.ChangeCursor{Seen: w.seen, Process: w.process, Mark: mark}
	switch {
	case since == hook.ChangeCursor{}:
		changed = true
	case since.Process == w.process:
		// All that was seen before the cursor has a mark that is not above the cursor's.
		changed = mark > since.Mark || since.Seen < w.missed
	default:
		// A look that saw what was committed after the cursor ended after the cursor's time.
		changed = mark > since.Seen || since.Seen < w.floor || since.Seen > w.seen+ahead.Microseconds()
	}
	return cursor, changed, !w.looked.IsZero() && time.Since(w.looked) <= stale, w.changed
}

// markOf returns the newest mark in a scope. The caller must hold mu.
func (w *Watch) markOf(scope hook.ChangeScope) int64 {
	tenant := scope.Of.ID
	switch {
	case scope.Of.All: // of a webhook the tenant is not known, so anything may be meant
		return w.mark
	case scope.WebhookID != hook.WebhookID{}:
		return max(w.everything, w.wide[tenant], w.webhooks[hook.Change{TenantID: tenant, WebhookID: scope.WebhookID}])
	default:
		return max(w.everything, w.tenants[tenant])
	}
}
