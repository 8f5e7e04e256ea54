package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/syncbuf"
)

// topicOf names a cache for this test alone and a topic in it. Both names contain characters that a path must
// escape.
func topicOf(t testing.TB) (cache, topic string) {
	t.Helper()
	return fmt.Sprintf("%s é/%%20 %d", t.Name(), time.Now().UnixNano()), "chat/en & more?"
}

// path joins names to a path, each escaped.
func path(parts ...string) string {
	var b strings.Builder
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

// topicHook creates a webhook on a topic and returns its secret (M1).
func (c *apiClient) topicHook(cache, name, to, topic string) (secret string) {
	c.t.Helper()
	out := c.do(http.MethodPut, path("caches", cache, "webhooks", name), object{"destination": object{"postUrl": to}, "topicName": topic}, http.StatusOK)
	require.Len(c.t, out, 1)
	require.NotEmpty(c.t, out["secretString"])
	return out["secretString"].(string)
}

// trySay publishes a message (M5).
func (c *apiClient) trySay(ctx context.Context, cache, topic, text string) error {
	code, answer, err := c.send(ctx, http.MethodPost, path("topics", cache, topic), "text/plain", []byte(text))
	if err == nil && (code != http.StatusNoContent || len(answer) > 0) {
		err = fmt.Errorf("publish to %s: %d %s", topic, code, answer)
	}
	return err
}

func (c *apiClient) say(cache, topic, text string) {
	c.t.Helper()
	require.NoError(c.t, c.trySay(c.t.Context(), cache, topic, text))
}

// topicDeliveries returns the deliveries of a Momento webhook, newest first (M10).
func (c *apiClient) topicDeliveries(cache, name string) []any {
	c.t.Helper()
	return c.do(http.MethodGet, path("caches", cache, "webhooks", name, "deliveries")+"?limit=100", nil, http.StatusOK)["deliveries"].([]any)
}

// outcome waits until a Momento webhook's only delivery and that delivery's workflow have ended, so that nothing
// more is sent, and returns the delivery.
func (c *apiClient) outcome(t *testing.T, patience time.Duration, cache, name string) object {
	t.Helper()
	var d object
	waitUpTo(t, patience, "the delivery's end", func() bool {
		list := c.topicDeliveries(cache, name)
		if len(list) == 0 {
			return false
		}
		d = list[0].(object)
		return d["status"] != "pending"
	})
	require.NotContains(t, d, "next_attempt_at")
	waitFor(t, "the workflow's end", func() bool {
		return workflowStatus(t, c, d["event_id"].(string)) != "WORKFLOW_EXECUTION_STATUS_RUNNING"
	})
	return d
}

// with creates an API key and returns a client that uses it.
func (c *apiClient) with(key object) *apiClient {
	c.t.Helper()
	other := *c
	other.key = c.do(http.MethodPost, "/v1/api-keys", key, http.StatusCreated)["key"].(string)
	return &other
}

// message is the body of a request to a Momento webhook: the struct in the seed.
type message struct {
	Cache            string `json:"cache"`
	Topic            string `json:"topic"`
	EventTimestamp   int64  `json:"event_timestamp"`
	PublishTimestamp int64  `json:"publish_timestamp"`
	Sequence         int64  `json:"topic_sequence_number"`
	TokenID          string `json:"token_id"`
	Text             string `json:"text"`
}

// parseMessage decodes the seven members, and refuses any other member.
func parseMessage(body []byte) (message, error) {
	var m message
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(&m)
	return m, err
}

// readMessage reads the message of a request in a receiver's handler.
func readMessage(req *http.Request) (message, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return message{}, err
	}
	return parseMessage(body)
}

// again serialises the struct as serde_json does, with which Momento's Rust receiver verifies: members in order,
// and no unnecessary escapes.
func (m *message) again() string {
	return fmt.Sprintf(`{"cache":%s,"topic":%s,"event_timestamp":%d,"publish_timestamp":%d,"topic_sequence_number":%d,"token_id":%s,"text":%s}`,
		serde(m.Cache), serde(m.Topic), m.EventTimestamp, m.PublishTimestamp, m.Sequence, serde(m.TokenID), serde(m.Text))
}

func serde(text string) string {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch escape, ok := short[r]; {
		case ok:
			b.WriteString(escape)
		case r < ' ':
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}

// requireMessage checks the properties common to all requests to a Momento webhook (spec 1, M6) and returns the
// message.
func requireMessage(t *testing.T, request recorded, secret string) message {
	t.Helper()
	m, err := parseMessage(request.Body)
	require.NoError(t, err, "%s", request.Body)
	require.Equal(t, string(request.Body), m.again(), "the seven keys in order, as serde prints them")
	require.True(t, stack.Verified(request.Header, []byte(m.again()), []string{secret}), "signature of %s", request.Body)
	require.LessOrEqual(t, m.EventTimestamp, m.PublishTimestamp)
	require.LessOrEqual(t, m.PublishTimestamp, request.At.UnixMilli())
	require.Equal(t, "application/json", request.Header.Get("Content-Type"))
	return m
}

// nodeScript is a receiver that runs in node.
type nodeScript struct {
	url   string
	lines <-chan string
	stdin io.Writer
}

// startScript runs node with the arguments, as a receiver that prints its URL first. It returns nil where node is
// not installed.
func startScript(t *testing.T, args []string, env ...string) *nodeScript {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("node is not here: only the receivers in Go are tried")
		return nil
	}
	cmd := exec.CommandContext(t.Context(), node, args...)
	cmd.Env = append(cmd.Environ(), env...)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr := &syncbuf.Buffer{}
	cmd.Stderr = stderr
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	require.True(t, lines.Scan(), "%s", stderr)
	s := &nodeScript{url: lines.Text(), stdin: stdin}
	out := make(chan string, 1000)
	s.lines = out
	go func() {
		defer close(out)
		for lines.Scan() {
			out <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, stdin.Close())
		_ = cmd.Wait() // fails if the context has ended node
		require.Empty(t, stderr.String())
	})
	return s
}

// learn gives the receiver the secret of each of its paths.
func (s *nodeScript) learn(t *testing.T, secrets map[string]string) {
	t.Helper()
	require.NoError(t, json.NewEncoder(s.stdin).Encode(secrets))
	require.Equal(t, "ready", s.next(t))
}

// next returns the next line of the receiver's output.
func (s *nodeScript) next(t *testing.T) string {
	t.Helper()
	timer := time.NewTimer(eventually)
	defer timer.Stop()
	select {
	case line, ok := <-s.lines:
		require.True(t, ok, "the receiver has ended")
		return line
	case <-timer.C:
		require.FailNow(t, "waited in vain for the receiver in node")
		return ""
	}
}
