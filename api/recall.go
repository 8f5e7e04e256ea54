package api

import (
	"context"

	"grapnel/internal/hook"
)

// A publish is let in by what was found the last time: its API key, and that its event
// type is one of the tenant's. The store stores the event only if that still holds.
// Where anything is in the way, it is done once more by what is true now, so that what
// a caller is told is never outdated.

// recalledKey is the key of the API key's text in the context of a request that was
// let in by one that is known from before.
type recalledKey struct{}

// recalled is that text, "" where the key was looked up.
func recalled(ctx context.Context) hook.Secret {
	text, _ := ctx.Value(recalledKey{}).(hook.Secret)
	return text
}

// again reports whether to do a publish once more because of err, and in which context:
// where it was refused, which leaves nothing behind. Other failures may come after the
// commit. failed is why the key is not good now.
func (a *API) again(ctx context.Context, err error) (fresh context.Context, again bool, failed error) {
	text := recalled(ctx)
	if err == nil || text == "" || !isRefusal(err) {
		return ctx, false, nil
	}
	key, err := a.lookUpKey(ctx, a.Store.Authenticate, text)
	if err != nil {
		return ctx, false, err
	}
	return context.WithValue(context.WithValue(ctx, recalledKey{}, nil), principalKey{}, key), true, nil
}

// isRefusal tells that nothing was done, and that it was for the request's sake.
func isRefusal(err error) bool {
	kind := hook.KindOf(err)
	return kind != hook.KindUnavailable && kind != hook.KindInternal
}

// recallType is the hash of a type's schema as it was the last time, if that may be
// relied on.
func (a *API) recallType(ctx context.Context, name string) (map[string]hook.SchemaHash, hook.Preconditions, bool) {
	text := recalled(ctx)
	if text == "" {
		return nil, hook.Preconditions{}, false
	}
	if hook.IsBuiltIn(name) {
		return nil, hook.Preconditions{Key: text}, true
	}
	hash, ok := a.Store.RecalledEventType(tenant(ctx), name)
	if !ok {
		return nil, hook.Preconditions{Key: text}, false
	}
	var schemas map[string]hook.SchemaHash
	if !hash.IsZero() {
		schemas = map[string]hook.SchemaHash{name: hash}
	}
	return schemas, hook.Preconditions{Key: text, Listed: true, Schema: hash}, true
}
