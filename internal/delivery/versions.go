package delivery

import (
	"context"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// Once the API has answered a change of a webhook, no request may begin with the webhook as it
// was before. So a sender that loaded a webhook longer ago than hook.TrustFor checks that the
// webhook still has the version that was loaded. Checks are shared: at most one query runs at
// a time, for all webhooks that are asked for, and its answer serves every sender that asks
// within hook.TrustFor.

const (
	// maxChecks is how often in a row a sender asks again because the answer took longer than
	// hook.TrustFor. Then it takes the last answer: with a store as slow as that, nothing would
	// be sent any more.
	maxChecks = 3
	// queryTimeout bounds a query, which does not end with the context of a sender.
	queryTimeout = 5 * time.Second
)

// queryVersions returns the current versions of webhooks (Lookup.Versions).
type queryVersions func(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error)

// versionCache holds the versions of webhooks as they were a moment ago.
type versionCache struct {
	query queryVersions
	now   func() time.Time

	mu sync.Mutex
	// known has the versions that were read within hook.TrustFor; 0 for a webhook that does
	// not exist.
	known map[hook.WebhookID]seenVersion
	// current is in progress; next collects the webhooks that are asked for meanwhile.
	current, next *versionQuery
}

// seenVersion is a version and a time from before it was read.
type seenVersion struct {
	version int64
	at      time.Time
}

// versionQuery is one query. Its versions and error may be read once done is closed.
type versionQuery struct {
	at       time.Time
	webhooks map[hook.WebhookID]struct{}
	done     chan struct{}
	versions map[hook.WebhookID]int64
	err      error
}

func newVersionCache(query queryVersions, now func() time.Time) *versionCache {
	return &versionCache{query: query, now: now, known: map[hook.WebhookID]seenVersion{}}
}

// holds reports whether a webhook still has the version, which was read at the given time or
// later.
func (c *versionCache) holds(ctx context.Context, webhook hook.WebhookID, version int64, read time.Time) (bool, error) {
	for n := 0; ; n++ {
		if n == maxChecks || c.now().Sub(read) < hook.TrustFor {
			return true, nil
		}
		seen, err := c.see(ctx, webhook)
		if err != nil || seen.version != version {
			return false, err
		}
		read = seen.at
	}
}

// see returns the version of the webhook, from the cache or from the store.
func (c *versionCache) see(ctx context.Context, webhook hook.WebhookID) (seenVersion, error) {
	c.mu.Lock()
	if seen, ok := c.known[webhook]; ok && c.now().Sub(seen.at) < hook.TrustFor {
		c.mu.Unlock()
		return seen, nil
	}
	joined := c.join(ctx, webhook)
	c.mu.Unlock()
	select {
	case <-joined.done:
		return seenVersion{joined.versions[webhook], joined.at}, joined.err
	case <-ctx.Done():
		return seenVersion{}, context.Cause(ctx)
	}
}

// join returns the query that will have the webhook's version. The caller holds the lock.
func (c *versionCache) join(ctx context.Context, webhook hook.WebhookID) *versionQuery {
	if c.current != nil {
		if _, ok := c.current.webhooks[webhook]; ok && c.now().Sub(c.current.at) < hook.TrustFor {
			return c.current
		}
	}
	if c.next == nil {
		c.next = &versionQuery{webhooks: map[hook.WebhookID]struct{}{}, done: make(chan struct{})}
	}
	c.next.webhooks[webhook] = struct{}{}
	joined := c.next
	if c.current == nil {
		c.begin()
		go c.run(context.WithoutCancel(ctx), c.current)
	}
	return joined
}

// begin makes the next query the current one. The caller holds the lock.
func (c *versionCache) begin() {
	c.current, c.next = c.next, nil
	if c.current != nil {
		c.current.at = c.now()
	}
}

// run makes queries until no sender asks. It replaces the current query under the lock, while
// that is still set: otherwise a sender that asks in between would start a second run.
func (c *versionCache) run(ctx context.Context, current *versionQuery) {
	for current != nil {
		ids := make([]hook.WebhookID, 0, len(current.webhooks))
		for id := range current.webhooks {
			ids = append(ids, id)
		}
		bounded, cancel := context.WithTimeout(ctx, queryTimeout)
		current.versions, current.err = c.query(bounded, ids)
		cancel()
		done := current.done
		c.mu.Lock()
		c.remember(current)
		c.begin()
		current = c.current
		c.mu.Unlock()
		close(done)
	}
}

// remember keeps the versions of a query, and forgets versions that are too old. The caller
// holds the lock.
func (c *versionCache) remember(found *versionQuery) {
	now := c.now()
	for id, seen := range c.known {
		if now.Sub(seen.at) >= hook.TrustFor {
			delete(c.known, id)
		}
	}
	if found.err != nil || now.Sub(found.at) >= hook.TrustFor {
		return
	}
	for id := range found.webhooks {
		c.known[id] = seenVersion{found.versions[id], found.at}
	}
}
