package delivery

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// K3: the webhooks of thousands of tenants that publish in turn are kept, and those used least recently make room when they
// take too much memory.
func TestKeptWebhooks(t *testing.T) {
	t.Parallel()
	c := newWebhookCache(time.Now)
	number := func(n int) (id hook.WebhookID) {
		binary.BigEndian.PutUint32(id[:], uint32(n))
		return id
	}
	keep := func(n, headers int) {
		w := &hook.Webhook{ID: number(n), URL: "https://example.com", Events: []string{"user.created"}, Version: 1}
		for i := range headers {
			if w.Headers == nil {
				w.Headers = map[string]hook.Secret{}
			}
			w.Headers[strings.Repeat("h", i+1)] = hook.Secret(strings.Repeat("v", hook.MaxHeaderValueLength))
		}
		c.keep([]hook.Job{{Webhook: w}})
	}
	for n := range 10_000 {
		keep(n, 0)
	}
	for n := range 10_000 {
		require.NotNil(t, c.find(number(n), 1))
	}
	bytes := c.bytes
	for range 3 {
		keep(1, 0)
	}
	require.Equal(t, bytes, c.bytes, "one that is kept again counts once")
	for n := 20_000; n < 22_000; n++ {
		keep(n, hook.MaxHeaders)
		require.LessOrEqual(t, c.bytes, maxWebhookBytes)
	}
	require.NotNil(t, c.find(number(21_999), 1))
	require.Nil(t, c.find(number(2), 1))
	require.Less(t, c.webhooks.Len(), 2_000)
	for n := range 2 * maxWebhooks {
		keep(n, 0)
	}
	require.LessOrEqual(t, c.webhooks.Len(), maxWebhooks)
	sum := 0
	for _, kept := range c.webhooks.Values() {
		sum += kept.bytes
	}
	require.Equal(t, sum, c.bytes)
}
