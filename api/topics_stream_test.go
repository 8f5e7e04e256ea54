package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// stream is an open stream of server-sent events.
type stream struct {
	response *http.Response
	lines    *bufio.Reader
	close    context.CancelFunc
}

// event is one block of a stream.
type event struct{ id, data, comment string }

// open opens a stream, which is closed at the end of the test.
func (c *client) open(t *testing.T, path string, header map[string]string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.server.URL+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Accept", "text/event-stream")
	for name, value := range header {
		r.Header.Set(name, value)
	}
	response, err := c.server.Client().Do(r)
	require.NoError(t, err)
	t.Cleanup(func() {
		cancel()
		response.Body.Close()
	})
	return &stream{response: response, lines: bufio.NewReader(response.Body), close: cancel}
}

// next returns the next block, read as the standard prescribes.
func (s *stream) next(t *testing.T) event {
	t.Helper()
	var e event
	for {
		line, err := s.lines.ReadString('\n')
		require.NoError(t, err)
		require.NotContains(t, line, "\r")
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "data":
			require.Empty(t, e.data, "one line of data")
			e.data = value
		default:
			require.Empty(t, name, "no other fields")
			if line == "\n" {
				return e
			}
			e.comment = value
		}
	}
}

// ends asserts that the stream has ended.
func (s *stream) ends(t *testing.T) {
	t.Helper()
	rest, err := io.ReadAll(s.lines)
	require.NoError(t, err)
	require.Empty(t, rest)
}

// M8, beyond: the same items as server-sent events, byte for byte.
func TestStream(t *testing.T) {
	t.Parallel()
	f := setup(t)
	s := f.open(t, topicPath("chat", "mo-nuts"), nil)
	require.Equal(t, http.StatusOK, s.response.StatusCode)
	for name, value := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Content-Length": "", "Content-Encoding": "",
	} {
		require.Equal(t, value, s.response.Header.Get(name), name)
	}
	require.Equal(t, event{id: "0.0", comment: "keep-alive"}, s.next(t), "at once, with where it begins")
	for i, text := range awkward() {
		f.say(t, "chat", "mo-nuts", text)
		n := strconv.Itoa(i + 1)
		e := s.next(t)
		require.Equal(t, page(t, f)+"."+n, e.id)
		require.Equal(t, string(f.get(t, topicPath("chat", "mo-nuts")+"?sequence_number="+n).body), `{"items":[`+e.data+"]}\n")
		var v struct{ Item message }
		require.NoError(t, json.Unmarshal([]byte(e.data), &v))
		require.Equal(t, text, v.Item.Value.Text)
	}
}

// A client that reconnects goes on where it was, whatever its URL says.
func TestStreamResumes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := topicPath("chat", "mo-nuts")
	begun := f.open(t, path, nil)
	id := begun.next(t).id
	begun.close()
	for _, text := range []string{"one", "two", "three"} {
		f.say(t, "chat", "mo-nuts", text)
	}
	// Messages that arrived in between are not lost, even if the client had seen none.
	for n, text := range []string{"one", "two", "three"} {
		for _, query := range []string{"", "?sequence_number=1", "?sequence_number=3&sequence_page=7"} {
			s := f.open(t, path+query, map[string]string{"Last-Event-ID": id})
			require.Equal(t, event{comment: "keep-alive"}, s.next(t))
			require.Contains(t, s.next(t).data, `{"text":"`+text+`"}`)
			s.close()
		}
		id = page(t, f) + "." + strconv.Itoa(n+1)
	}
	// After the last message the stream waits for the next one.
	s := f.open(t, path, map[string]string{"Last-Event-ID": id})
	s.next(t)
	f.say(t, "chat", "mo-nuts", "four")
	require.Contains(t, s.next(t).data, `{"text":"four"}`)
	// A stream without a position begins after the existing messages.
	s = f.open(t, path, nil)
	require.Equal(t, page(t, f)+".4", s.next(t).id)
	// By number, without an id.
	s = f.open(t, path+"?sequence_number=2&sequence_page="+page(t, f), nil)
	s.next(t)
	require.Equal(t, page(t, f)+".2", s.next(t).id)
}

// A gap is reported, and a client that resumes from it gets the messages after it.
func TestStreamTellsOfGaps(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for n := range 5 {
		f.say(t, "chat", "mo-nuts", strconv.Itoa(n+1))
	}
	f.exec(t, `delete from events where sequence < 4`)
	path, page := topicPath("chat", "mo-nuts"), page(t, f)
	s := f.open(t, path+"?sequence_number=2", nil)
	s.next(t)
	gap := s.next(t)
	require.Equal(t, event{id: page + ".3", data: `{"discontinuity":{"last_topic_sequence":1,"new_topic_sequence":4,"new_sequence_page":` + page + `}}`}, gap)
	require.Equal(t, page+".4", s.next(t).id)
	s = f.open(t, path, map[string]string{"Last-Event-ID": gap.id})
	s.next(t)
	require.Equal(t, page+".4", s.next(t).id)
	require.Equal(t, page+".5", s.next(t).id)
}

// Only clients that prefer server-sent events get them.
func TestStreamIsAskedFor(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Topics = &scripted{} })
	for accept, want := range map[string]string{
		"text/event-stream": "text/event-stream", "TEXT/Event-Stream; charset=utf-8": "text/event-stream",
		"application/json;q=0.1, text/event-stream ;q=0.9": "text/event-stream",
		"application/json, text/event-stream":              "application/json", "text/event-stream, application/json;q=0.9": "text/event-stream",
		"*/*": "application/json", "text/*": "application/json", "application/json": "application/json", "text/event-streams": "application/json",
		"text/event-stream;q=0": "application/json", "text/event-stream; q=0, */*": "application/json",
	} {
		s := f.open(t, topicPath("chat", "mo-nuts"), map[string]string{"Accept": accept})
		require.Equal(t, want, s.response.Header.Get("Content-Type"), accept)
	}
	a := f.as("").do(t, http.MethodGet, topicPath("chat", "a"), "", map[string]string{"Accept": "text/event-stream"})
	a.problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	f.do(t, http.MethodGet, topicPath("chat", " "), "", map[string]string{"Accept": "text/event-stream"}).refused(t, "path.topicName", "empty")
}

// A quiet stream sends a comment every 15 seconds and lasts 10 minutes.
func TestStreamKeepsAlive(t *testing.T) {
	t.Parallel()
	told := &scripted{batches: [][]hook.Item{nil, nil, {{Page: 7, Message: hook.Message{Sequence: 1, Text: []byte(`"a"`)}}}, nil}}
	f := setup(t, func(d *api.Deps) { d.Topics = told })
	s := f.open(t, topicPath("chat", "mo-nuts")+"?sequence_number=1&sequence_page=7", nil)
	body, err := io.ReadAll(s.lines)
	require.NoError(t, err)
	const alive = ": keep-alive\n\n"
	require.Equal(t, alive+alive+alive+"id: 7.1\ndata: "+`{"item":{"sequence_page":7,"topic_sequence_number":1,"value":{"text":"a"}}}`+"\n\n"+alive, string(body))
	require.Equal(t, 15*time.Second, told.quiet)
	require.Equal(t, hook.Cursor{Next: 1, Page: 7}, told.from)
	require.WithinDuration(t, time.Now().Add(10*time.Minute), told.deadline, time.Minute)
}

// A server that stops ends its streams.
func TestEndPollsEndsStreams(t *testing.T) {
	t.Parallel()
	f, read := following(t)
	s := f.open(t, topicPath("chat", "mo-nuts"), nil)
	s.next(t)
	wait(t, read)
	f.api.EndPolls()
	s.ends(t)
	late := f.open(t, topicPath("chat", "mo-nuts"), nil)
	late.next(t)
	late.ends(t)
}

// A subscriber that leaves causes no error and leaves nothing behind.
func TestStreamWhoseClientGoesAway(t *testing.T) {
	t.Parallel()
	seen := &metrics{}
	f, read := following(t, func(d *api.Deps) { d.Metrics = seen })
	s := f.open(t, topicPath("chat", "mo-nuts"), nil)
	s.next(t)
	wait(t, read)
	s.close()
	f.server.Close() // waits for the request
	require.Empty(t, f.log.String())
	require.Equal(t, []string{"follow-topic 200"}, seen.all())
}

// lost is a store that can't return the position of a topic.
type lost struct{ api.Store }

func (lost) Messages(context.Context, hook.MessageQuery) (hook.Messages, error) {
	return hook.Messages{}, hook.Unavailable("the store", errors.New(marker))
}

// Spec 6: a failure of the store ends the stream, and is 503 before the stream has begun.
func TestStreamOfAStoreThatFails(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) {
		d.Store = lost{d.Store}
		d.Topics = &scripted{batches: [][]hook.Item{nil}, err: hook.Unavailable("the store", errors.New(marker))}
	})
	a := f.do(t, http.MethodGet, topicPath("chat", "mo-nuts"), "", map[string]string{"Accept": "text/event-stream"})
	a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	require.NotContains(t, string(a.body), "MARKER")

	s := f.open(t, topicPath("chat", "mo-nuts")+"?sequence_number=1", nil)
	body, err := io.ReadAll(s.lines)
	require.NoError(t, err)
	require.Equal(t, ": keep-alive\n\n: keep-alive\n\n", string(body))
	require.Contains(t, f.log.String(), "stream ended")
}

// sluggish is a connection whose client stops reading.
type sluggish struct {
	*httptest.ResponseRecorder
	writes    int
	deadlines []time.Time
}

func (w *sluggish) SetWriteDeadline(at time.Time) error {
	w.deadlines = append(w.deadlines, at)
	return nil
}

func (w *sluggish) Write(p []byte) (int, error) {
	if w.writes++; w.writes > 3 {
		return 0, errors.New("deadline exceeded")
	}
	return w.ResponseRecorder.Write(p)
}

// Each write has its own deadline, and a client that does not read ends it.
func TestStreamToAClientThatDoesNotRead(t *testing.T) {
	t.Parallel()
	one := []hook.Item{{Page: 7, Message: hook.Message{Sequence: 1, Text: []byte(`"a"`)}}}
	f := setup(t, func(d *api.Deps) { d.Topics = &scripted{batches: [][]hook.Item{one, one, one, one, nil, nil}} })
	w := &sluggish{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, topicPath("chat", "mo-nuts"), nil)
	r.Header.Set("Authorization", f.key)
	r.Header.Set("Accept", "text/event-stream")
	f.api.ServeHTTP(w, r)
	require.Equal(t, 4, w.writes, "the one that failed is the last")
	require.Len(t, w.deadlines, 4)
	for _, at := range w.deadlines {
		require.WithinDuration(t, time.Now().Add(30*time.Second), at, 10*time.Second)
	}
	require.True(t, w.Flushed)
}
