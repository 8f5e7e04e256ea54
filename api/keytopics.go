package api

import (
	"context"
	"slices"

	"grapnel/internal/hook"
)

// A key that is limited to topics may read the events of these topics only. Lists leave other events out, and single
// reads don't find them. A client that decides where a webhook's events go can read them, so such a key can only create
// and redirect webhooks that get nothing else.

// readable returns the limits on the events that the caller may read.
func readable(ctx context.Context) hook.Readable {
	key := principal(ctx)
	return key.Readable()
}

// checkReadableEvent returns not found unless the caller may read the event.
func checkReadableEvent(ctx context.Context, e *hook.Event) error {
	if key := principal(ctx); !key.AllowsTopic(e.Cache, e.Type) {
		return hook.NotFound("event")
	}
	return nil
}

// checkReadableDelivery returns not found unless the caller may read the delivery.
func (a *API) checkReadableDelivery(ctx context.Context, d *hook.Delivery) error {
	key := principal(ctx)
	cache := ""
	if len(key.Caches) > 0 { // only the event has the cache
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

// checkReadableLog returns not found unless the caller may read deliveries of the webhook. The list itself leaves out
// the deliveries that the caller may not read.
func checkReadableLog(ctx context.Context, w *hook.Logged) error {
	if key := principal(ctx); !key.AllowsCache(w.Cache) {
		return hook.NotFound("webhook")
	}
	return nil
}

// checkFollowed refuses a topic that the caller may not follow.
func checkFollowed(ctx context.Context, t *hook.Topic) error {
	if key := principal(ctx); !key.AllowsTopic(t.Cache, t.Name) {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key may not follow this topic"}
	}
	return nil
}

// checkRerouted refuses an update that changes the URL or the events of a webhook, unless the caller may read all
// events that the webhook got before and gets afterwards.
func checkRerouted(ctx context.Context, before, now *hook.Webhook) error {
	if now.URL == before.URL && slices.Equal(now.Events, before.Events) {
		return nil
	}
	if err := checkCovered(ctx, before); err != nil {
		return err
	}
	return checkCovered(ctx, now)
}

// checkCovered refuses a webhook that gets events which the caller may not read.
func checkCovered(ctx context.Context, w *hook.Webhook) error {
	if key := principal(ctx); !key.Covers(w) {
		return &hook.Error{Kind: hook.KindForbidden, Message: "the API key is limited to topics, and this webhook gets others"}
	}
	return nil
}
