package api

import (
	"context"

	"grapnel/internal/hook"
)

// Checking a publish needs three facts: that its API key is valid, which tenant it names, and that its event type is in
// the tenant's catalogue. All are taken from the publish cache where they are known from an earlier request. The store checks them again when
// it stores the event (hook.Preconditions). If it refuses the event, or a check on cached facts does, the key, the
// tenant and the type are looked up in the database and the publish is checked and stored once more. So no client ever gets an
// outdated refusal.

// authenticateAgain looks the caller's API key and tenant up in the database if the request was refused with err on the strength
// of a cached key. again reports whether it did; then fresh is the context to check the request with. An error of the
// look-up replaces err. Errors that are no refusal may come after a commit, so nothing is repeated after them.
func (a *API) authenticateAgain(ctx context.Context, err error) (fresh context.Context, again bool, failed error) {
	stale := callerOf(ctx)
	hash := stale.cached
	if err == nil || hash.IsZero() || !isRefusal(err) || hook.KindOf(err) == hook.KindRateLimited {
		return ctx, false, nil // a refusal for the rate must stay cheap; the cached rate is right within a minute
	}
	c, err := a.authenticateHash(ctx, hash, stale.named)
	if err == nil {
		err = c.actFor(false)
	}
	if err != nil {
		return ctx, false, err
	}
	c.admitted = stale.admitted
	return context.WithValue(ctx, callerKey{}, &c), true, nil
}

// checkActive refuses what a suspended tenant must not do (K8). Callers whose key comes from the publish cache are not
// known to be suspended: the store refuses their events.
func checkActive(ctx context.Context) error {
	if callerOf(ctx).Suspended {
		return hook.Suspended()
	}
	return nil
}

// isRefusal reports whether err means that nothing was done, because of the request itself.
func isRefusal(err error) bool {
	kind := hook.KindOf(err)
	return kind != hook.KindUnavailable && kind != hook.KindInternal
}

// cachedType returns what the publish cache knows about an event type: the hash of its schema by the type's name, if
// it has one, and the preconditions of an event of that type. ok is false if the type must be looked up, which is
// always so for callers whose key was looked up; the preconditions then cover the key alone.
func (a *API) cachedType(ctx context.Context, name string) (schemas map[string]hook.SchemaHash, p hook.Preconditions, ok bool) {
	p.Key = callerOf(ctx).cached
	switch {
	case p.Key.IsZero():
		return nil, p, false
	case hook.IsBuiltIn(name):
		return nil, p, true
	}
	hash, ok := a.Store.CachedEventType(tenant(ctx), name)
	if !ok {
		return nil, p, false
	}
	p.Listed, p.Schema = true, hash
	if !hash.IsZero() {
		schemas = map[string]hook.SchemaHash{name: hash}
	}
	return schemas, p, true
}
