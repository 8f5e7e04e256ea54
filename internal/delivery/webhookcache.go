package delivery

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"grapnel/internal/hook"
)

const (
	// maxWebhooks and maxWebhookBytes bound the webhooks that are kept: enough for thousands of tenants that publish in turn.
	// If there are more than fit, each is dropped before its turn comes again, and all are loaded each time.
	maxWebhooks     = 20_000
	maxWebhookBytes = 32 << 20
	// keptFor is the time for which a webhook is kept. Its row has not changed as long as its version is the same; the bound
	// is for memory, and for a database whose triggers somebody has switched off.
	keptFor = 10 * time.Minute
)

// webhookCache keeps webhooks as they were last loaded. A webhook is used only for a delivery that was accepted for
// the same version of it: then its row has not changed. Webhooks whose requests need more than their row, the tenant's
// signing keys, are not kept.
type webhookCache struct {
	mu       sync.Mutex
	webhooks *simplelru.LRU[hook.WebhookID, keptWebhook] // guarded by mu
	bytes    int                                         // of the webhooks; guarded by mu
	now      func() time.Time
}

type keptWebhook struct {
	webhook *hook.Webhook
	until   time.Time
	bytes   int
}

func newWebhookCache(now func() time.Time) *webhookCache {
	c := &webhookCache{now: now}
	var err error
	c.webhooks, err = simplelru.NewLRU(maxWebhooks, func(_ hook.WebhookID, kept keptWebhook) { c.bytes -= kept.bytes })
	if err != nil {
		panic(err) // only for a size that is not positive
	}
	return c
}

// webhookBytes returns about how much memory a webhook takes.
func webhookBytes(w *hook.Webhook) int {
	n := 1<<10 + len(w.URL) + len(w.Description) + len(w.Secret)
	for _, e := range w.Events {
		n += len(e) + 16
	}
	for name, value := range w.Headers {
		n += len(name) + len(value) + 64
	}
	for i := range w.Previous {
		n += len(w.Previous[i].Secret) + 64
	}
	return n
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
		c.webhooks.Remove(w.ID) // Add would not call back for the one that it replaces
		kept := keptWebhook{w, until, webhookBytes(w)}
		c.webhooks.Add(w.ID, kept)
		c.bytes += kept.bytes
		last = w
	}
	for c.bytes > maxWebhookBytes {
		c.webhooks.RemoveOldest()
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
