package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// kib64 is the length in bytes of the longest message text (spec 2.4).
const kib64 = 64 << 10

// texts returns messages that a careless sender or receiver would change.
func texts() map[string]string {
	var controls strings.Builder
	for r := range rune(' ') {
		controls.WriteRune(r)
	}
	return map[string]string{
		"the specification's":    `{"a":"<&>é\u0000 😀"}`,
		"the same with a NUL":    "{\"a\":\"<&>é\x00 😀\"}",
		"empty":                  "",
		"white space":            " \r\n x \t\n",
		"64 KiB":                 strings.Repeat("é", kib64/2),
		"64 KiB to be escaped":   strings.Repeat("\x01", kib64),
		"line separators":        "a\u2028b\u2029c\u0085d",
		"quotes and backslashes": `"\"\\" \n \u2028 </script> '` + "`",
		"controls":               controls.String() + "\x7f",
		"long emoji":             strings.Repeat("👩🏽\u200d🚀👨\u200d👩\u200d👧\u200d👦🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f🇩🇪", 100),
		"edges of Unicode":       "\ufeff\uffff\U0010ffff\ufdd0\ue000\ud7ff",
	}
}

// M5, M6, spec 1 and 2: every message arrives byte for byte and verifies with all three kinds of receivers that
// Momento's customers have: those that sign the raw body, those that serialise it again in Rust, and those that do
// so in JavaScript.
func TestMomentoReceiversVerify(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	r := newRecorder(t)
	secret := c.topicHook(cache, "re-serialises", r.URL, topic)
	node := startScript(t, []string{"testdata/momento_receiver.js"})
	if node != nil {
		node.learn(t, map[string]string{
			"/raw":    c.topicHook(cache, "raw", node.url+"/raw", topic),
			"/parsed": c.topicHook(cache, "parsed", node.url+"/parsed", topic),
		})
	}
	publisher := c.with(object{"name": "chat", "scopes": []string{"publish"}, "token_id": "mo the \"squirrel\" 🐿"})
	said := []string{"without a token_id"}
	c.say(cache, topic, said[0])
	for _, text := range texts() {
		publisher.say(cache, topic, text)
		said = append(said, text)
	}
	waitFor(t, "all messages", func() bool { return len(r.requests()) == len(said) })
	seen := map[int64]bool{}
	for _, request := range r.requests() {
		m := requireMessage(t, request, secret)
		require.False(t, seen[m.Sequence], "number %d comes once", m.Sequence)
		seen[m.Sequence] = true
		require.True(t, m.Sequence >= 1 && m.Sequence <= int64(len(said)), "numbers count from 1: %d", m.Sequence)
		require.Equal(t, said[m.Sequence-1], m.Text)
		require.Equal(t, cache, m.Cache)
		require.Equal(t, topic, m.Topic)
		require.Equal(t, map[bool]string{true: "", false: "mo the \"squirrel\" 🐿"}[m.Sequence == 1], m.TokenID)
	}
	if node == nil {
		return
	}
	var want, got []string
	for i, text := range said {
		sum := sha256.Sum256([]byte(text))
		for _, name := range []string{"/raw", "/parsed"} {
			want = append(want, fmt.Sprintf("verified %s %d %s", name, i+1, hex.EncodeToString(sum[:])))
			got = append(got, node.next(t))
		}
	}
	require.ElementsMatch(t, want, got)
}

// M5: a message may have any text content type, curl's form default included; a body that is not text is refused.
func TestMomentoContentTypes(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	r := newRecorder(t)
	secret := c.topicHook(cache, "any", r.URL, topic)
	const text = `a=%20&b="+"`
	for contentType, want := range map[string]int{
		"": 204, "text/plain": 204, "text/plain; charset=utf-8": 204, "text/markdown": 204, "application/json": 204,
		"application/x-www-form-urlencoded": 204, "application/octet-stream": 415,
	} {
		code, answer, err := c.send(t.Context(), http.MethodPost, path("topics", cache, topic), contentType, []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, code, "%q: %s", contentType, answer)
	}
	waitFor(t, "all messages", func() bool { return len(r.requests()) == 6 })
	for _, request := range r.requests() {
		require.Equal(t, text, requireMessage(t, request, secret).Text)
	}
	for text, want := range map[string]int{strings.Repeat("x", kib64+1): 413, "\xff": 422} {
		code, answer, err := c.send(t.Context(), http.MethodPost, path("topics", cache, topic), "text/plain", []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, code, "%s", answer)
	}
}

// M6: publish_timestamp is recent and never in the future, so that a receiver that refuses old messages accepts
// every message and its unsigned subtraction does not overflow.
func TestMomentoPublishTimestampIsFresh(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	const messages, fresh = 20, 60_000
	var mu sync.Mutex
	var problems []string
	r := newRecorder(t, func(w http.ResponseWriter, req *http.Request) {
		now := uint64(time.Now().UnixMilli())
		m, err := readMessage(req)
		mu.Lock()
		defer mu.Unlock()
		switch sent := uint64(m.PublishTimestamp); {
		case err != nil:
			problems = append(problems, err.Error())
		case sent > now:
			problems = append(problems, fmt.Sprintf("number %d: attempt to subtract with overflow: %d - %d", m.Sequence, now, sent))
		case now-sent >= fresh:
			problems = append(problems, fmt.Sprintf("number %d is %d ms old", m.Sequence, now-sent))
		}
		w.WriteHeader(http.StatusOK)
	})
	secret := c.topicHook(cache, "fresh", r.URL, topic)
	for i := range messages {
		c.say(cache, topic, fmt.Sprint(i))
	}
	waitFor(t, "all messages", func() bool { return len(r.requests()) == messages })
	mu.Lock()
	defer mu.Unlock()
	require.Empty(t, problems)
	for _, request := range r.requests() {
		requireMessage(t, request, secret)
	}
}

// The example in the overview: a webhook translates each message and publishes it to the topics of the other
// languages before it answers.
func TestMomentoMultiLanguageChat(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, _ := topicOf(t)
	const messages = 20
	languages := []string{"de", "fr", "es"}
	failures := make(chan error, messages*len(languages))
	translator := newRecorder(t, func(w http.ResponseWriter, req *http.Request) {
		m, err := readMessage(req)
		for _, language := range languages {
			if err == nil {
				err = c.trySay(req.Context(), cache, language, language+" "+m.Text)
			}
		}
		if err != nil {
			failures <- err
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	receivers, secrets := map[string]*recorder{"en": translator}, map[string]string{}
	for _, language := range languages {
		receivers[language] = newRecorder(t)
	}
	for language, r := range receivers {
		secrets[language] = c.topicHook(cache, "reads "+language, r.URL, language)
	}
	arrived := func(n int) {
		for language, r := range receivers {
			waitFor(t, language, func() bool { require.Empty(t, failures); return len(r.requests()) >= n })
		}
	}
	c.say(cache, "en", "0")
	arrived(1)
	var group errgroup.Group
	for i := range messages - 1 {
		group.Go(func() error { return c.trySay(t.Context(), cache, "en", fmt.Sprint(i+1)) })
	}
	require.NoError(t, group.Wait())
	arrived(messages)
	for language, r := range receivers {
		var numbers []int64
		var got, want []string
		for _, request := range r.requests() {
			m := requireMessage(t, request, secrets[language])
			require.Equal(t, language, m.Topic)
			numbers, got = append(numbers, m.Sequence), append(got, m.Text)
		}
		for i := range messages {
			want = append(want, strings.TrimPrefix(fmt.Sprintf("%s %d", language, i), "en "))
		}
		require.ElementsMatch(t, want, got, "every message once")
		slices.Sort(numbers)
		require.Equal(t, int64(1), numbers[0])
		require.Equal(t, int64(messages), numbers[messages-1])
	}
	waitFor(t, "the translator's deliveries", func() bool {
		list := c.topicDeliveries(cache, "reads en")
		require.Len(t, list, messages)
		return !slices.ContainsFunc(list, func(d any) bool { return d.(object)["status"] == "pending" })
	})
	for _, d := range c.topicDeliveries(cache, "reads en") {
		require.Equal(t, "success", d.(object)["status"])
		require.EqualValues(t, 1, d.(object)["attempts"])
	}
}
