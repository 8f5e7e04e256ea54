package e2e

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/syncbuf"
)

// topicItem is an item of a topic (M8).
type topicItem struct {
	Item *struct {
		Page     int64 `json:"sequence_page"`
		Sequence int64 `json:"topic_sequence_number"`
		Value    struct {
			Text *string `json:"text"`
		} `json:"value"`
	} `json:"item"`
	Discontinuity *struct {
		Last int64 `json:"last_topic_sequence"`
		Next int64 `json:"new_topic_sequence"`
		Page int64 `json:"new_sequence_page"`
	} `json:"discontinuity"`
}

// tryPoll polls a topic once, from the position in the query.
func (c *apiClient) tryPoll(ctx context.Context, cache, topic, query string) ([]topicItem, error) {
	code, answer, err := c.send(ctx, http.MethodGet, path("topics", cache, topic)+query, "", nil)
	if err != nil {
		return nil, err
	}
	var out struct{ Items []topicItem }
	if code != http.StatusOK || !strings.HasPrefix(string(answer), `{"items":[`) {
		return nil, fmt.Errorf("poll %s: %d %s", topic, code, answer)
	}
	err = json.Unmarshal(answer, &out)
	return out.Items, err
}

// from is the query for the messages from a sequence number on.
func from(sequence int64) string { return fmt.Sprintf("?sequence_number=%d", sequence) }

// fromOn is the query for the messages from a sequence number of the given sequence page on.
func fromOn(sequence, page int64) string {
	return fmt.Sprintf("%s&sequence_page=%d", from(sequence), page)
}

// poll is tryPoll that fails the test on an error.
func (c *apiClient) poll(cache, topic, query string) []topicItem {
	c.t.Helper()
	items, err := c.tryPoll(c.t.Context(), cache, topic, query)
	require.NoError(c.t, err)
	return items
}

// polled is the result of a poll in the background.
type polled struct {
	items []topicItem
	err   error
	at    time.Time
}

// pollAside polls in the background and returns when the request has been written.
func (c *apiClient) pollAside(t *testing.T, cache, topic, query string) <-chan polled {
	t.Helper()
	out, sent := make(chan polled, 1), make(chan struct{}, 1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{WroteRequest: func(httptrace.WroteRequestInfo) { sent <- struct{}{} }})
	go func() {
		items, err := c.tryPoll(ctx, cache, topic, query)
		out <- polled{items, err, time.Now()}
	}()
	<-sent
	return out
}

// stream is a subscription to a topic by server-sent events. It yields positions (ids) and items.
type stream struct {
	response *http.Response
	lines    *bufio.Scanner
}

// stream opens a stream, which ends with the test.
func (c *apiClient) stream(t *testing.T, cache, topic, query, lastEventID string) *stream {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path("topics", cache, topic)+query, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Accept", "text/event-stream")
	if lastEventID != "" {
		r.Header.Set("Last-Event-ID", lastEventID)
	}
	response, err := c.transport.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, response.Body.Close()) })
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Equal(t, "text/event-stream", response.Header.Get("Content-Type"))
	s := &stream{response: response, lines: bufio.NewScanner(response.Body)}
	s.lines.Buffer(nil, 1<<20)
	return s
}

// next returns the value of the stream's next line with the field.
func (s *stream) next(t *testing.T, field string) string {
	t.Helper()
	for s.lines.Scan() {
		if value, ok := strings.CutPrefix(s.lines.Text(), field+": "); ok {
			return value
		}
	}
	require.FailNow(t, "the stream has ended", "%v", s.lines.Err())
	return ""
}

// item returns the stream's next item.
func (s *stream) item(t *testing.T) topicItem {
	t.Helper()
	var i topicItem
	require.NoError(t, json.Unmarshal([]byte(s.next(t, "data")), &i))
	return i
}

// secondAPI starts another process of the stack's API and returns its client.
func secondAPI(t *testing.T, s *stackProcess, dir string) *apiClient {
	t.Helper()
	secrets, err := stack.LoadCredentials(filepath.Join(dir, "secrets.json"))
	require.NoError(t, err)
	addrs, err := stack.FreeAddrs(t.Context(), stack.Loopback, 1)
	require.NoError(t, err)
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "--role="+stack.RoleAPI, "--temporal-addr="+s.ready["temporal"], "--api-addr="+addrs[0].String(),
		"--temporal-ui-url="+s.ready["ui"], "--allow-destinations=127.0.0.0/8", "--drain-delay=0s", "--metrics-addr=", "--allow-http")
	cmd.Env = append(os.Environ(), childEnv+"=1", "GRAPNEL_DATABASE_URL="+cmp.Or(s.ready["pgbouncer"], s.ready["postgres"]), "GRAPNEL_ENCRYPTION_KEY="+secrets.Encryption)
	log := &syncbuf.Buffer{}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, stdin.Close()) // the process ends when its standard input is closed
		require.NoError(t, cmd.Wait(), "%s", log)
	})
	c := clientOf(t, s)
	c.url = "http://" + addrs[0].String()
	ctx, cancel := context.WithTimeout(t.Context(), eventually)
	defer cancel()
	require.NoError(t, stack.WaitHTTP(ctx, c.url+"/readyz"), "%s", log)
	return c
}
