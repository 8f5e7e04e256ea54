package api_test

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// newMomentoWebhook puts a webhook of a new name on a topic of the cache "own"
// and returns the name.
func (f *fixture) newMomentoWebhook(t *testing.T) string {
	t.Helper()
	name := "hook-" + secrets.NewAPIKey().Reveal()[:20]
	f.put(t, "own", name, "quiet")
	return name
}

// put puts a webhook whose URL contains its topic, and returns its secret.
func (c *client) put(t *testing.T, cache, name, topic string) string {
	t.Helper()
	body, err := json.Marshal(map[string]any{"destination": map[string]any{"postUrl": "https://yourapp.com/" + url.PathEscape(topic)}, "topicName": topic})
	require.NoError(t, err)
	got := c.do(t, http.MethodPut, named(cache, name), string(body), nil).object(t, http.StatusOK)
	require.Len(t, got, 1, "exactly the secret")
	require.Regexp(t, `^[A-Za-z0-9+/]{43}=$`, got["secretString"], "base64 of 32 bytes")
	return got["secretString"].(string)
}

// named returns the path of a webhook.
func named(cache, name string) string {
	return "/caches/" + url.PathEscape(cache) + "/webhooks/" + url.PathEscape(name)
}

// topicPath returns the path of a topic.
func topicPath(cache, topic string) string {
	return "/topics/" + url.PathEscape(cache) + "/" + url.PathEscape(topic)
}

// say publishes a message.
func (c *client) say(t *testing.T, cache, topic, text string) {
	t.Helper()
	a := c.do(t, http.MethodPost, topicPath(cache, topic), text, map[string]string{"Content-Type": "text/plain; charset=utf-8"})
	require.Equal(t, http.StatusNoContent, a.status, "%s", a.body)
	require.Empty(t, a.body)
	require.NotContains(t, a.header, "Content-Type")
}

// prepare returns a request that any goroutine may send. If it fails, the answer has the error.
func (c *client) prepare(t *testing.T, method, path, body string) func() answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, c.server.URL+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+c.key)
	return func() answer {
		response, err := c.server.Client().Do(r)
		if err != nil {
			return answer{body: []byte(err.Error())}
		}
		defer response.Body.Close()
		content, err := io.ReadAll(response.Body)
		if err != nil {
			return answer{body: []byte(err.Error())}
		}
		return answer{status: response.StatusCode, header: response.Header, body: content, request: method + " " + path}
	}
}

// faultyTopics makes Follow fail as a call of the store that it counts with.
type faultyTopics struct {
	api.Topics
	store *faulty
}

func (s faultyTopics) Follow(ctx context.Context, id hook.TopicID, from hook.Cursor, quiet time.Duration) iter.Seq2[[]hook.Item, error] {
	return func(yield func([]hook.Item, error) bool) {
		if err := s.store.next("Follow"); err != nil {
			yield(nil, err)
			return
		}
		s.Topics.Follow(ctx, id, from, quiet)(yield)
	}
}
