package api

import (
	"context"
	"slices"

	"grapnel/internal/hook"
)

// A key that is limited to topics reads only these: on lists the others are left out, and
// what is asked for by its id is not found. Who says where a webhook's events go reads
// them, too: such a key makes and reroutes only webhooks that get nothing else.

// readable is what the caller may read of events.
func readable(ctx context.Context) hook.Readable {
	key := principal(ctx)
	return key.Readable()
}

// checkReadableEvent reports whether the caller may read the event.
func checkReadableEvent(ctx context.Context, e *hook.Event) error {
	if key := principal(ctx); !key.AllowsTopic(e.Cache, e.Type) {
		return hook.NotFound("event")
	}
	return nil
}

// checkReadableDelivery reports whether the caller may read the delivery.
func (a *API) checkReadableDelivery(ctx context.Context, d *hook.Delivery) error {
	key := principal(ctx)
	cache := ""
	if len(key.Caches) > 0 { // only its event knows the cache
		e, err := a.Store.Event(ctx, d.TenantID, d.EventID)
		if err != nil {
			return err
		}
		cache = e.Cache
	}
	if !key.AllowsTopic(cache, d.EventType) {
		return hook.NotFound("delivery")
	}
	return nil
}

// checkReadableLog reports whether the caller may read deliveries of the webhook; which of
// them is the list's to say.
func checkReadableLog(ctx context.Context, w *hook.Logged) error {
	if key := principal(ctx); !key.AllowsCache(w.Cache) {
		return hook.NotFound("webhook")
	}
	return nil
}

// checkFollowed reports whether the caller may follow a topic.
func checkFollowed(ctx context.Context, t *hook.Topic) error {
	if key := principal(ctx); !key.AllowsTopic(t.Cache, t.Name) {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key may not follow this topic"}
	}
	return nil
}

// checkRerouted reports whether the caller may have done what has changed of where a
// webhook's events go: read all that it has got, and all that it gets.
func checkRerouted(ctx context.Context, before, now *hook.Webhook) error {
	if now.URL == before.URL && slices.Equal(now.Events, before.Events) {
		return nil
	}
	if err := checkCovered(ctx, before); err != nil {
		return err
	}
	return checkCovered(ctx, now)
}

// checkCovered reports whether the caller may read all that the webhook gets.
func checkCovered(ctx context.Context, w *hook.Webhook) error {
	if key := principal(ctx); !key.Covers(w) {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key is limited to topics, and this webhook gets others"}
	}
	return nil
}
