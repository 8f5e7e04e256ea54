package activities

import (
	"context"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// A request must not begin by a webhook as it was before a change that has been answered.
// So who has loaded it longer ago than hook.TrustFor looks whether it still has the version
// that was loaded. Looks are shared: one at a time for all webhooks that are asked about,
// and who asks within hook.TrustFor of the last one has its answer already.

const (
	// mostLooks is how often in a row a sender looks because the answer took longer than
	// hook.TrustFor. Then it goes by the last one: where the store is as slow as that, to
	// be strict would be to send nothing any more.
	mostLooks = 3
	// lookTimeout bounds a look, which nobody's request can end.
	lookTimeout = 5 * time.Second
)

// looks knows versions of webhooks as they were a moment ago.
type looks struct {
	ask func(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error)
	now func() time.Time

	mu sync.Mutex
	// known are the versions that were found within hook.TrustFor; 0 is a webhook that is gone.
	known map[hook.WebhookID]sighting
	// current is under way; next gathers who comes meanwhile.
	current, next *look
}

// sighting is a version and a time from before it was read.
type sighting struct {
	version int64
	at      time.Time
}

// look is one question to the store. What comes of it may be read once done is closed.
type look struct {
	at       time.Time
	webhooks map[hook.WebhookID]struct{}
	done     chan struct{}
	versions map[hook.WebhookID]int64
	err      error
}

func newLooks(ask func(context.Context, []hook.WebhookID) (map[hook.WebhookID]int64, error), now func() time.Time) *looks {
	return &looks{ask: ask, now: now, known: map[hook.WebhookID]sighting{}}
}

// hold reports whether a webhook still has the version, which was read
// at the given time or later.
func (l *looks) hold(ctx context.Context, webhook hook.WebhookID, version int64, read time.Time) (bool, error) {
	for n := 0; ; n++ {
		if n == mostLooks || l.now().Sub(read) < hook.TrustFor {
			return true, nil
		}
		seen, err := l.see(ctx, webhook)
		if err != nil || seen.version != version {
			return false, err
		}
		read = seen.at
	}
}

// see is what was found of the webhook within hook.TrustFor, or is found now.
func (l *looks) see(ctx context.Context, webhook hook.WebhookID) (sighting, error) {
	l.mu.Lock()
	if seen, ok := l.known[webhook]; ok && l.now().Sub(seen.at) < hook.TrustFor {
		l.mu.Unlock()
		return seen, nil
	}
	joined := l.join(ctx, webhook)
	l.mu.Unlock()
	select {
	case <-joined.done:
		return sighting{joined.versions[webhook], joined.at}, joined.err
	case <-ctx.Done():
		return sighting{}, context.Cause(ctx)
	}
}

// join is the look that will tell of the webhook; the caller holds the lock.
func (l *looks) join(ctx context.Context, webhook hook.WebhookID) *look {
	if l.current != nil {
		if _, ok := l.current.webhooks[webhook]; ok && l.now().Sub(l.current.at) < hook.TrustFor {
			return l.current
		}
	}
	if l.next == nil {
		l.next = &look{webhooks: map[hook.WebhookID]struct{}{}, done: make(chan struct{})}
	}
	l.next.webhooks[webhook] = struct{}{}
	joined := l.next
	if l.current == nil {
		l.begin()
		go l.run(context.WithoutCancel(ctx), l.current)
	}
	return joined
}

// begin makes the next look the current one; the caller holds the lock.
func (l *looks) begin() {
	l.current, l.next = l.next, nil
	if l.current != nil {
		l.current.at = l.now()
	}
}

// run looks until nobody asks, whoever began it. What comes after a look is decided while
// that look still is the current one: otherwise who comes between begins a second run.
func (l *looks) run(ctx context.Context, current *look) {
	for current != nil {
		ids := make([]hook.WebhookID, 0, len(current.webhooks))
		for id := range current.webhooks {
			ids = append(ids, id)
		}
		bounded, cancel := context.WithTimeout(ctx, lookTimeout)
		current.versions, current.err = l.ask(bounded, ids)
		cancel()
		done := current.done
		l.mu.Lock()
		l.remember(current)
		l.begin()
		current = l.current
		l.mu.Unlock()
		close(done)
	}
}

// remember keeps what was found, and forgets what is too old; the caller holds the lock.
func (l *looks) remember(found *look) {
	now := l.now()
	for id, seen := range l.known {
		if now.Sub(seen.at) >= hook.TrustFor {
			delete(l.known, id)
		}
	}
	if found.err != nil || now.Sub(found.at) >= hook.TrustFor {
		return
	}
	for id := range found.webhooks {
		l.known[id] = sighting{found.versions[id], found.at}
	}
}
