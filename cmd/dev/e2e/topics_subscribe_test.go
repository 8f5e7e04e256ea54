package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// M8: messages can be read from any sequence number on, byte for byte, and the next poll continues where the last
// one ended.
func TestTopicPoll(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	var said []string
	for _, text := range texts() {
		said = append(said, text)
		c.say(cache, topic, text)
	}
	var got []string
	next, page := int64(1), int64(0)
	for len(got) < len(said) {
		items := c.poll(cache, topic, fromOn(next, page))
		require.NotEmpty(t, items)
		for _, i := range items {
			require.NotNil(t, i.Item, "nothing is missing")
			require.Equal(t, next, i.Item.Sequence)
			require.InDelta(t, time.Now().Unix(), i.Item.Page, 60)
			next, page = next+1, i.Item.Page
			got = append(got, *i.Item.Value.Text)
		}
	}
	require.Equal(t, said, got)
	require.Equal(t, said[4], *c.poll(cache, topic, fromOn(5, page))[0].Item.Value.Text)
}

// M8: a poll without a sequence number returns only later messages. No poll returns the message of a webhook's test
// delivery.
func TestTopicPollFromTheNewestOn(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	c.topicHook(cache, "hook", newRecorder(t).URL, topic)
	c.say(cache, topic, "before")
	c.do(http.MethodPost, "/v1/webhooks/"+c.topicHookOf(cache, "hook")["id"].(string)+"/test", nil, http.StatusOK)
	said := 0
	for _, query := range []string{"", from(0)} {
		waiting := c.pollAside(t, cache, topic, query)
		var got polled
		// Only the server knows when a poll begins to wait, so publish until it returns.
		waitFor(t, "the poll's end", func() bool {
			said++
			c.say(cache, topic, fmt.Sprint("after ", said))
			select {
			case got = <-waiting:
				return true
			default:
				return false
			}
		})
		require.NoError(t, got.err)
		require.Greater(t, got.items[0].Item.Sequence, int64(1))
		require.Equal(t, fmt.Sprint("after ", got.items[0].Item.Sequence-1), *got.items[0].Item.Value.Text)
	}
}

// M8: a poll ends after 30 seconds without a message and returns no items.
func TestTopicPollEndsEmpty(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	c.say(cache, topic, "before")
	begin := time.Now()
	code, answer, err := c.send(t.Context(), http.MethodGet, path("topics", cache, topic)+"?sequence_number=2", "", nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"items":[]}`, string(answer))
	require.InDelta(t, 30, time.Since(begin).Seconds(), 3)
}

// M8: messages past retention are missing, and the subscriber gets a discontinuity item before the first message
// after the gap.
func TestTopicDiscontinuity(t *testing.T) {
	t.Parallel()
	c := clientOf(t, startWith(t, t.TempDir(), "--topic-messages=10"))
	cache, topic := topicOf(t)
	for i := range 25 {
		c.say(cache, topic, fmt.Sprint(i+1))
	}
	for next, last := range map[int64]int64{1: 0, 7: 6} {
		items := c.poll(cache, topic, from(next))
		require.NotNil(t, items[0].Discontinuity)
		require.Nil(t, items[0].Item)
		require.Equal(t, last, items[0].Discontinuity.Last)
		require.Equal(t, int64(16), items[0].Discontinuity.Next)
		require.Len(t, items, 1+10)
		for i, item := range items[1:] {
			require.Equal(t, int64(16+i), item.Item.Sequence)
			require.Equal(t, fmt.Sprint(16+i), *item.Item.Value.Text)
			require.Equal(t, items[0].Discontinuity.Page, item.Item.Page)
		}
	}
	require.Nil(t, c.poll(cache, topic, from(16))[0].Discontinuity)
}

// M8, beyond: server-sent events return the same items, and the stream can be resumed.
func TestTopicStream(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	said := []string{"one"}
	c.say(cache, topic, said[0])
	live := c.stream(t, cache, topic, "", "")
	live.next(t, "id") // from this position on no message is lost
	for _, text := range texts() {
		said = append(said, text)
		c.say(cache, topic, text)
	}
	all := c.stream(t, cache, topic, "?sequence_number=1", "")
	for i, text := range said {
		if i == 0 {
			require.Equal(t, text, *all.item(t).Item.Value.Text)
			continue
		}
		for _, s := range []*stream{live, all} {
			item := s.item(t)
			require.NotNil(t, item.Item)
			require.Equal(t, int64(i+1), item.Item.Sequence)
			require.Equal(t, text, *item.Item.Value.Text)
		}
	}
	first := c.stream(t, cache, topic, "?sequence_number=1", "")
	id := first.next(t, "id")
	require.Equal(t, int64(2), c.stream(t, cache, topic, "", id).item(t).Item.Sequence)
}

// M9: on the topic paths the key may be a bare Authorization value or in the query, but not both.
func TestTopicKeys(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	for _, test := range []struct {
		header, query string
		status        int
	}{
		{"Bearer " + c.key, "", 204},
		{c.key, "", 204},
		{"", "?token=" + url.QueryEscape(c.key), 204},
		{c.key, "?token=" + url.QueryEscape(c.key), 400},
		{"", "", 401},
		{"gk_wrong", "", 401},
		{"", "?token=gk_wrong", 401},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+path("topics", cache, topic)+test.query, http.NoBody)
		require.NoError(t, err)
		if test.header != "" {
			r.Header.Set("Authorization", test.header)
		}
		response, err := c.transport.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, test.status, response.StatusCode, "%+v", test)
	}
}

// M8: a message published at one process wakes a poll that waits at another.
func TestTopicPollWakesAcrossProcesses(t *testing.T) {
	t.Parallel()
	one := sharedAPI(t)
	two := secondAPI(t, shared.process, shared.dir)
	cache, topic := topicOf(t)
	const rounds = 10
	publishers, took := []*apiClient{one, two}, make([]time.Duration, 0, rounds)
	for i := range int64(rounds) {
		waiting := []<-chan polled{one.pollAside(t, cache, topic, from(i+1)), two.pollAside(t, cache, topic, from(i+1))}
		begin := time.Now()
		publishers[i%2].say(cache, topic, fmt.Sprint(i))
		for process, w := range waiting {
			p := <-w
			require.NoError(t, p.err)
			require.Len(t, p.items, 1)
			require.Equal(t, i+1, p.items[0].Item.Sequence)
			require.Equal(t, fmt.Sprint(i), *p.items[0].Item.Value.Text)
			if process != int(i%2) {
				took = append(took, p.at.Sub(begin))
			}
		}
	}
	slices.Sort(took)
	t.Logf("from publish at one process to a poll at the other: p50 %v, max %v", took[rounds/2], took[rounds-1])
	// The poll's fallback for lost announcements takes 2 s; a shorter time shows that these messages were
	// announced.
	require.Less(t, took[rounds/2], time.Second)
}
