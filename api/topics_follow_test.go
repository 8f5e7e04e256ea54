package api_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/topics"
)

// watched is a store that reports reads. A subscriber that has read is waiting, or is about to wait.
type watched struct {
	topics.Store
	read chan int64
}

func (s watched) Messages(ctx context.Context, q hook.MessageQuery) (hook.Messages, error) {
	m, err := s.Store.Messages(ctx, q)
	s.read <- q.From
	return m, err
}

// following returns a fixture whose hub can be watched. Only the test ends a poll.
func following(t *testing.T, change ...func(*api.Deps)) (f *fixture, read <-chan int64) {
	t.Helper()
	seen := make(chan int64, 1000)
	f = setup(t, append([]func(*api.Deps){func(d *api.Deps) {
		hub, err := topics.New(topics.Config{
			Store: watched{d.Store.(topics.Store), seen}, Logger: slog.New(slog.DiscardHandler), Age: time.Hour, Newest: 1000,
		})
		require.NoError(t, err)
		d.Topics = hub
		d.Config.LongPoll = time.Hour
	}}, change...)...)
	return f, seen
}

// wait receives the next value, which must arrive.
func wait[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// poll polls in a goroutine.
func (c *client) poll(t *testing.T, path string) <-chan answer {
	t.Helper()
	done, get := make(chan answer, 1), c.prepare(t, http.MethodGet, path, "")
	go func() { done <- get() }()
	return done
}

// page returns the topic's only page.
func page(t *testing.T, f *fixture) string {
	t.Helper()
	return strconv.Itoa(value[int](t, f, `select page::int from topics`))
}

// M8: existing messages are returned at once, in exactly this form.
func TestPollForMessages(t *testing.T) {
	t.Parallel()
	f, _ := following(t)
	for _, text := range []string{"one", "two", "three"} {
		f.say(t, "chat", "mo-nuts", text)
	}
	path, page := topicPath("chat", "mo-nuts"), page(t, f)
	item := func(n int, text string) string {
		return `{"item":{"sequence_page":` + page + `,"topic_sequence_number":` + strconv.Itoa(n) + `,"value":{"text":"` + text + `"}}}`
	}
	for query, want := range map[string]string{
		"?sequence_number=1":                          item(1, "one") + "," + item(2, "two") + "," + item(3, "three"),
		"?sequence_number=2&sequence_page=" + page:    item(2, "two") + "," + item(3, "three"),
		"?sequence_number=3&sequence_page=0":          item(3, "three"),
		"?sequence_number=3&sequence_page=1768480200": `{"discontinuity":{"last_topic_sequence":2,"new_topic_sequence":1,"new_sequence_page":` + page + `}},` + item(1, "one") + "," + item(2, "two") + "," + item(3, "three"),
	} {
		a := f.get(t, path+query)
		require.Equal(t, `{"items":[`+want+"]}\n", string(a.body), query)
		require.Equal(t, "application/json", a.header.Get("Content-Type"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	}
	// A Last-Event-ID means the same here as for a stream.
	a := f.do(t, http.MethodGet, path+"?sequence_number=1", "", map[string]string{"Last-Event-ID": page + ".2"})
	require.Equal(t, []string{"three"}, texts(t, a))
}

// M8: a poll waits for the next message, which wakes it.
func TestPollWaits(t *testing.T) {
	t.Parallel()
	f, read := following(t)
	path := topicPath("chat", "mo-nuts")
	for i, query := range []string{"", "?sequence_number=0", "?sequence_page=7"} {
		done := f.poll(t, path+query)
		require.Zero(t, wait(t, read))
		f.say(t, "chat", "other", "not this topic")
		f.say(t, "other", "mo-nuts", "not this cache")
		f.say(t, "chat", "mo-nuts", "message "+strconv.Itoa(i))
		got := messages(t, wait(t, done))
		require.Len(t, got, 1, query)
		require.Equal(t, "message "+strconv.Itoa(i), got[0].Value.Text)
		require.EqualValues(t, i+1, got[0].Number)
		for len(read) > 0 {
			<-read
		}
	}
}

// M8: a poll for a future number waits for its message.
func TestPollWaitsForItsNumber(t *testing.T) {
	t.Parallel()
	f, read := following(t)
	done := f.poll(t, topicPath("chat", "mo-nuts")+"?sequence_number=3")
	for _, text := range []string{"one", "two"} {
		require.EqualValues(t, 3, wait(t, read))
		f.say(t, "chat", "mo-nuts", text)
	}
	require.EqualValues(t, 3, wait(t, read))
	f.say(t, "chat", "mo-nuts", "three")
	require.Equal(t, []string{"three"}, texts(t, wait(t, done)))
}

// M8: any number of subscribers get a message.
func TestManyPolls(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f, _ := following(t)
	polls := make([]<-chan answer, 30)
	for i := range polls {
		polls[i] = f.poll(t, topicPath("chat", "mo-nuts")+"?sequence_number=1")
	}
	f.say(t, "chat", "mo-nuts", "to all")
	for _, done := range polls {
		require.Equal(t, []string{"to all"}, texts(t, wait(t, done)))
	}
}

// M8: after 30 seconds, or the configured time, the answer is empty.
func TestPollTimesOut(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.LongPoll = 10 * time.Millisecond })
	f.say(t, "chat", "mo-nuts", "old")
	for _, query := range []string{"", "?sequence_number=2", "?sequence_number=9223372036854775807"} {
		a := f.get(t, topicPath("chat", "mo-nuts")+query)
		require.JSONEq(t, `{"items":[]}`, string(a.body))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	}
	require.JSONEq(t, `{"items":[]}`, string(f.get(t, topicPath("chat", "unknown")+"?sequence_number=1").body))
	require.Zero(t, value[int](t, f, `select count(*) from topics where name = 'unknown'`), "reading makes no topic")

	told := &scripted{}
	f = setup(t, func(d *api.Deps) { d.Topics = told })
	require.JSONEq(t, `{"items":[]}`, string(f.get(t, topicPath("chat", "mo-nuts")).body))
	require.Equal(t, 30*time.Second, told.quiet)
}

// M8: a gap of expired messages is reported before the messages that follow it.
func TestPollTellsOfGaps(t *testing.T) {
	t.Parallel()
	f, _ := following(t)
	for n := range 6 {
		f.say(t, "chat", "mo-nuts", strconv.Itoa(n+1))
	}
	f.exec(t, `delete from events where sequence in (1, 2, 3, 5)`)
	path, page := topicPath("chat", "mo-nuts"), page(t, f)
	gap := func(last, next int) string {
		return `{"discontinuity":{"last_topic_sequence":` + strconv.Itoa(last) + `,"new_topic_sequence":` + strconv.Itoa(next) + `,"new_sequence_page":` + page + `}}`
	}
	item := func(n int) string {
		return `{"item":{"sequence_page":` + page + `,"topic_sequence_number":` + strconv.Itoa(n) + `,"value":{"text":"` + strconv.Itoa(n) + `"}}}`
	}
	rest := item(4) + "," + gap(4, 6) + "," + item(6)
	for query, want := range map[string]string{
		"?sequence_number=1": gap(0, 4) + "," + rest,
		"?sequence_number=3": gap(2, 4) + "," + rest,
		"?sequence_number=4": rest,
		"?sequence_number=5": gap(4, 6) + "," + item(6),
	} {
		a := f.get(t, path+query)
		require.Equal(t, `{"items":[`+want+"]}\n", string(a.body), query)
	}
}

// M8: many messages come in batches, none twice.
func TestPollInBatches(t *testing.T) {
	t.Parallel()
	f, _ := following(t)
	const n = 250
	for i := range n {
		f.say(t, "chat", "mo-nuts", strconv.Itoa(i+1))
	}
	polls := 0
	for next := 1; next <= n; polls++ {
		got := messages(t, f.get(t, topicPath("chat", "mo-nuts")+"?sequence_number="+strconv.Itoa(next)))
		require.NotEmpty(t, got)
		for _, m := range got {
			require.EqualValues(t, next, m.Number)
			require.Equal(t, strconv.Itoa(next), m.Value.Text)
			next++
		}
	}
	require.Greater(t, polls, 1)
	require.Less(t, polls, n/10)
}

// A server that stops answers waiting subscribers.
func TestEndPolls(t *testing.T) {
	t.Parallel()
	f, read := following(t)
	done := f.poll(t, topicPath("chat", "mo-nuts"))
	wait(t, read)
	f.api.EndPolls()
	require.JSONEq(t, `{"items":[]}`, string(wait(t, done).body))
	require.JSONEq(t, `{"items":[]}`, string(f.get(t, topicPath("chat", "mo-nuts")).body), "and who comes after that")
}

// A subscriber that leaves causes no error and leaves nothing behind.
func TestPollerThatGoesAway(t *testing.T) {
	t.Parallel()
	seen := &metrics{}
	f, read := following(t, func(d *api.Deps) { d.Metrics = seen })
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.server.URL+topicPath("chat", "mo-nuts"), nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", f.key)
	var left sync.WaitGroup
	left.Go(func() {
		response, err := f.server.Client().Do(r)
		if err == nil {
			response.Body.Close()
		}
	})
	wait(t, read)
	leave()
	left.Wait()
	f.server.Close() // waits for the request
	require.Empty(t, f.log.String())
	require.Equal(t, []string{"follow-topic 499"}, seen.all())
}

// scripted follows by a script and records its arguments.
type scripted struct {
	batches  [][]hook.Item
	err      error
	from     hook.Cursor
	quiet    time.Duration
	deadline time.Time
}

func (*scripted) Published(hook.TopicID) {}

func (s *scripted) Follow(ctx context.Context, _ hook.TopicID, from hook.Cursor, quiet time.Duration) iter.Seq2[[]hook.Item, error] {
	return func(yield func([]hook.Item, error) bool) {
		s.from, s.quiet = from, quiet
		s.deadline, _ = ctx.Deadline()
		for _, batch := range s.batches {
			if !yield(batch, nil) {
				return
			}
		}
		if s.err != nil {
			yield(nil, s.err)
		}
	}
}

// Spec 6: a store that fails while a subscriber waits is 503, without a cause.
func TestPollOfAStoreThatFails(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Topics = &scripted{err: hook.Unavailable("the store", errors.New(marker))} })
	a := f.get(t, topicPath("chat", "mo-nuts"))
	a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	require.Equal(t, "2", a.header.Get("Retry-After"))
	require.NotContains(t, string(a.body), "MARKER")
	require.Contains(t, f.log.String(), "MARKER")
}

// Invalid positions are reported with their location.
func TestFollowRefusals(t *testing.T) {
	t.Parallel()
	f, _ := following(t)
	f.say(t, "chat", "mo-nuts", "a")
	path := topicPath("chat", "mo-nuts")
	for query, c := range map[string]struct {
		status int
		at     string
	}{
		"sequence_number=-1":                  {422, "query.sequence_number"},
		"sequence_number=one":                 {422, "query.sequence_number"},
		"sequence_number=1.5":                 {422, "query.sequence_number"},
		"sequence_number=1e3":                 {422, "query.sequence_number"},
		"sequence_number=9223372036854775808": {422, "query.sequence_number"},
		"sequence_number=1&sequence_page=-1":  {422, "query.sequence_page"},
		"sequence_number=1&sequence_page=x":   {422, "query.sequence_page"},
		"sequence_number=":                    {400, "query.sequence_number"},
		"sequence_number=1&sequence_number=2": {400, "query.sequence_number"},
		"sequence_number=1&sequence_page=%zz": {400, "query"},
		"sequence=1":                          {422, "query.sequence"},
		"sequence_number=1&Sequence_Page=1":   {422, "query.Sequence_Page"},
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, f.get(t, path+"?"+query).problem(t, c.status, "INVALID_ARGUMENT").at(t, c.at))
		})
	}
	for _, id := range []string{
		"1", "1.", ".1", "a.1", "1.a", "-1.1", "1.-1", "1.1.1", "+1.1", "1. 1", "0x1.1", "9223372036854775808.1", "1.9223372036854775807", "é",
	} {
		t.Run("Last-Event-ID "+id, func(t *testing.T) {
			t.Parallel()
			for _, accept := range []string{"application/json", "text/event-stream"} {
				a := f.do(t, http.MethodGet, path+"?sequence_number=1", "", map[string]string{"Last-Event-ID": id, "Accept": accept})
				require.NotEmpty(t, a.problem(t, http.StatusBadRequest, "INVALID_ARGUMENT").at(t, "header.Last-Event-ID"))
			}
		})
	}
	t.Run("Last-Event-ID twice", func(t *testing.T) {
		t.Parallel()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.server.URL+path, nil)
		require.NoError(t, err)
		r.Header = http.Header{"Authorization": {f.key}, "Last-Event-Id": {"1.1", "1.2"}}
		response, err := f.server.Client().Do(r)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusBadRequest, response.StatusCode, "%s", body)
	})
}

// HEAD returns the headers and does not wait.
func TestHeadOfAPoll(t *testing.T) {
	t.Parallel()
	f, read := following(t)
	for accept, contentType := range map[string]string{"application/json": "application/json", "text/event-stream": "text/event-stream"} {
		a := f.do(t, http.MethodHead, topicPath("chat", "mo-nuts"), "", map[string]string{"Accept": accept})
		require.Equal(t, http.StatusOK, a.status)
		require.Equal(t, contentType, a.header.Get("Content-Type"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		require.Empty(t, a.body)
	}
	require.Empty(t, read, "the store was not asked")
	require.Equal(t, http.StatusBadRequest, f.do(t, http.MethodHead, topicPath("chat", "mo-nuts"), "", map[string]string{"Last-Event-ID": "x"}).status)
	require.Equal(t, http.StatusUnauthorized, f.as("gk_unknown").do(t, http.MethodHead, topicPath("chat", "mo-nuts"), "", nil).status)
}
