package api_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// Spec 7: per-key rate limits are configurable; 429 with Retry-After (spec 6).
func TestKeyRateLimit(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.KeyRateLimit = 2 })
	other := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead))
	limited := false
	for range 50 {
		a := f.get(t, "/v1/webhooks")
		if a.status == http.StatusOK {
			continue
		}
		limited = true
		p := a.problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED")
		require.Contains(t, p.Detail, "2 requests per second")
		require.Equal(t, "1", a.header.Get("Retry-After"))
		break
	}
	require.True(t, limited, "50 requests in a row are more than 2 per second")
	require.Equal(t, http.StatusOK, other.get(t, "/v1/webhooks").status, "another key's requests are its own")
	require.Eventually(t, func() bool { return f.get(t, "/v1/webhooks").status == http.StatusOK }, 20*time.Second, 50*time.Millisecond)
	f.as("gk_unknown").get(t, "/v1/webhooks").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
}

// Spec 7: requests to every operation count, even to operations that the key may not call.
func TestKeyRateLimitHoldsEverywhere(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.KeyRateLimit, d.Config.LongPoll = 1, time.Millisecond })
	ids := map[string]string{"webhook": "x", "event": "x", "delivery": "x", "key": "x", "commenda": "x", "momento": "x", "type": "x"}
	for _, c := range calls() {
		if c.public() {
			continue // it has no key
		}
		key := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead))
		limited := false
		for range 50 {
			a := key.do(t, c.method, c.with(ids), "", nil)
			if a.status == http.StatusTooManyRequests {
				limited = true
				break
			}
		}
		require.True(t, limited, c.id)
	}
}

// Without a configured limit there is none.
func TestNoKeyRateLimit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for range 200 {
		require.Equal(t, http.StatusOK, f.get(t, "/v1/event-types").status)
	}
}

// Spec 7: a waiting subscriber holds a connection, so the subscribers of a key are bounded, polls and streams together.
func TestMaxPolls(t *testing.T) {
	t.Parallel()
	f, read := following(t, func(d *api.Deps) { d.Config.MaxPolls = 2 })
	f.server.Client().Timeout = time.Minute // a subscriber that is accepted by mistake waits for long
	path := topicPath("chat", "mo-nuts")
	poll := f.poll(t, path)
	wait(t, read)
	stream := f.open(t, path, nil)
	stream.next(t)
	for _, accept := range []string{"application/json", "text/event-stream"} {
		a := f.do(t, http.MethodGet, path, "", map[string]string{"Accept": accept})
		p := a.problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED")
		require.Contains(t, p.Detail, strconv.Itoa(2))
		require.Equal(t, "1", a.header.Get("Retry-After"))
	}
	other := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead))
	for len(read) > 0 {
		<-read
	}
	theirs := other.poll(t, path)
	wait(t, read)
	f.say(t, "chat", "mo-nuts", "to all")
	require.Equal(t, []string{"to all"}, texts(t, wait(t, poll)))
	require.Equal(t, []string{"to all"}, texts(t, wait(t, theirs)))
	// Each of the two makes room when it has ended.
	for range 2 {
		another := f.open(t, path+"?sequence_number=1", nil)
		require.Equal(t, http.StatusOK, another.response.StatusCode)
		f.get(t, path+"?sequence_number=1").problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED")
		stream.close()
		require.Eventually(t, func() bool { return f.get(t, path+"?sequence_number=1").status == http.StatusOK }, 20*time.Second, 10*time.Millisecond)
		stream = another
	}
}

// An admin key can create others, so all keys of a tenant share a limit, and their number is bounded.
func TestLimitsOfATenant(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.TenantRateLimit, d.Config.MaxKeys = 5, 4 })
	tenant, text := f.newTenant(t)
	keys := []*client{f.as(text)}
	for range 4 {
		keys = append(keys, f.as(f.newKey(t, tenant, hook.ScopeRead)))
	}
	limited := false
	for n := range 200 {
		a := keys[n%len(keys)].get(t, "/v1/webhooks")
		if a.status == http.StatusOK {
			continue
		}
		limited = true
		require.Contains(t, a.problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED").Detail, "together make more than 5 requests per second")
		require.Equal(t, "1", a.header.Get("Retry-After"))
		break
	}
	require.True(t, limited, "200 requests in a row are more than 5 per second")
	require.Equal(t, http.StatusOK, f.get(t, "/v1/webhooks").status, "another tenant's requests are its own")

	for range 4 {
		if f.post(t, "/v1/api-keys", `{"name":"k","scopes":["read"]}`).status == http.StatusUnprocessableEntity {
			break
		}
	}
	var a answer
	require.Eventually(t, func() bool {
		a = f.post(t, "/v1/api-keys", `{"name":"k","scopes":["read"]}`)
		return a.status != http.StatusTooManyRequests
	}, 20*time.Second, 50*time.Millisecond)
	p := a.problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	require.Contains(t, p.Detail, "4 valid API keys")
}

// All subscribers of a tenant share a limit besides that of each key.
func TestMaxPollsOfATenant(t *testing.T) {
	t.Parallel()
	f, read := following(t, func(d *api.Deps) { d.Config.TenantMaxPolls = 2 })
	path := topicPath("chat", "mo-nuts")
	var polls []<-chan answer
	for range 2 {
		polls = append(polls, f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeRead)).poll(t, path))
		wait(t, read)
	}
	p := f.get(t, path).problem(t, http.StatusTooManyRequests, "LIMIT_EXCEEDED")
	require.Contains(t, p.Detail, "together have 2 subscribers waiting")
	f.say(t, "chat", "mo-nuts", "to all")
	for _, poll := range polls {
		require.Equal(t, []string{"to all"}, texts(t, wait(t, poll)))
	}
	require.Eventually(t, func() bool { return f.get(t, path+"?sequence_number=1").status == http.StatusOK }, 20*time.Second, 10*time.Millisecond)
}
