package delivery

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"grapnel/internal/hook"
)

const (
	// maxWebhooks bounds the webhooks that are kept, and keptFor the time for which.
	maxWebhooks = 1024
	keptFor     = time.Minute
)

// webhookCache keeps webhooks as they were last loaded. A webhook is used only for a delivery that was accepted for
// the same version of it: then its row has not changed. Webhooks whose requests need more than their row, the tenant's
// signing keys, are not kept.
type webhookCache struct {
	mu       sync.Mutex
	webhooks *simplelru.LRU[hook.WebhookID, keptWebhook] // guarded by mu
	now      func() time.Time
}

type keptWebhook struct {
	webhook *hook.Webhook
	until   time.Time
}

func newWebhookCache(now func() time.Time) *webhookCache {
	webhooks, err := simplelru.NewLRU[hook.WebhookID, keptWebhook](maxWebhooks, nil)
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return &webhookCache{webhooks: webhooks, now: now}
}

// keep keeps the webhooks of loaded jobs.
func (c *webhookCache) keep(jobs []hook.Job) {
	c.mu.Lock()
	defer c.mu.Unlock()
	until := c.now().Add(keptFor)
	var last *hook.Webhook
	for i := range jobs {
		w := jobs[i].Webhook
		if w == nil || w == last || jobs[i].Err != nil || w.Signs(hook.SchemeV1a) {
			continue
		}
		c.webhooks.Add(w.ID, keptWebhook{w, until})
		last = w
	}
}

// find returns the webhook with that version; nil if it is not kept.
func (c *webhookCache) find(id hook.WebhookID, version int64) *hook.Webhook {
	c.mu.Lock()
	defer c.mu.Unlock()
	kept, ok := c.webhooks.Get(id)
	if !ok || kept.webhook.Version != version || c.now().After(kept.until) {
		return nil
	}
	return kept.webhook
}
