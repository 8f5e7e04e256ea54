package e2e

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// M7: a message without an answer within 5 s is dropped for that webhook; an answer after 6 s changes nothing.
func TestMomentoTimesOut(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	answered := make(chan struct{}, 10)
	slow := newRecorder(t, func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(6 * time.Second)
		w.WriteHeader(http.StatusOK)
		answered <- struct{}{}
	})
	quick := newRecorder(t)
	c.topicHook(cache, "slow", slow.URL, topic)
	c.topicHook(cache, "quick", quick.URL, topic)
	begin := time.Now()
	c.say(cache, topic, "hello")
	require.Less(t, time.Since(begin), 2*time.Second, "publishing never waits for deliveries (M5)")
	waitFor(t, "the neighbour", func() bool { return len(quick.requests()) == 1 })
	require.Less(t, time.Since(begin), 4*time.Second, "a slow webhook delays no other (S16)")

	d := c.outcome(t, eventually, cache, "slow")
	require.Equal(t, "timed_out", d["status"])
	require.Equal(t, "Connection timeout", d["error"])
	require.EqualValues(t, 1, d["attempts"])
	require.NotContains(t, d, "status_code")
	require.NotContains(t, d, "delivered_at")
	attempts := c.do(http.MethodGet, "/v1/deliveries/"+d["id"].(string), nil, 200)["attempt_log"].([]any)
	require.Len(t, attempts, 1)
	attempt := attempts[0].(object)
	require.GreaterOrEqual(t, attempt["duration_ms"], 4900.0)
	require.Less(t, attempt["duration_ms"], 6500.0)
	require.Equal(t, object{"class": "timeout", "message": "Connection timeout"}, attempt["error"])
	<-answered
	require.Len(t, slow.requests(), 1, "the workflow has ended: there is nothing to send it again")
	require.Equal(t, "success", c.outcome(t, eventually, cache, "quick")["status"])
	require.Equal(t, d, c.outcome(t, eventually, cache, "slow"))
}

// M7: after any other failure the delivery is failed at the first attempt.
func TestMomentoFailsOnce(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	elsewhere := newRecorder(t)
	refused, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, refused.Close())
	tests := map[string]struct {
		answer http.HandlerFunc
		status string
		err    string
		code   any
	}{
		"accepted":     {answer: status(202), status: "success", code: 202.0},
		"redirect":     {answer: redirect(elsewhere.URL), status: "failed", err: "HTTP 301 Moved Permanently", code: 301.0},
		"not modified": {answer: status(304), status: "failed", err: "HTTP 304 Not Modified", code: 304.0},
		"client error": {answer: status(404), status: "failed", err: "HTTP 404 Not Found", code: 404.0},
		"server error": {answer: status(500), status: "failed", err: "HTTP 500 Internal Server Error", code: 500.0},
		"try later":    {answer: later, status: "failed", err: "HTTP 503 Service Unavailable", code: 503.0},
		"resets":       {answer: reset, status: "failed", err: "Connection reset"},
		"refuses":      {status: "failed", err: "Connection refused"},
	}
	// All webhooks share a topic: the failure of one does not affect the others.
	cache, topic := topicOf(t)
	receivers := map[string]*recorder{}
	for name, test := range tests {
		url := "http://" + refused.Addr().String()
		if test.answer != nil {
			receivers[name] = newRecorder(t, test.answer)
			url = receivers[name].URL
		}
		c.topicHook(cache, name, url, topic)
	}
	c.say(cache, topic, "hello")
	for name, test := range tests {
		d := c.outcome(t, eventually, cache, name)
		require.Equal(t, test.status, d["status"], name)
		require.Equal(t, test.code, d["status_code"], name)
		require.EqualValues(t, 1, d["attempts"], name)
		if test.err == "" {
			require.NotContains(t, d, "error", name)
			require.Contains(t, d, "delivered_at", name)
		} else {
			require.Equal(t, test.err, d["error"], name)
			require.NotContains(t, d, "delivered_at", name)
		}
		require.Len(t, c.do(http.MethodGet, "/v1/deliveries/"+d["id"].(string), nil, 200)["attempt_log"], 1, name)
	}
	for name, r := range receivers {
		require.Len(t, r.requests(), 1, name)
	}
	require.Empty(t, elsewhere.requests(), "a redirect is never followed")
}

// later answers 503 with Retry-After, which asks for another attempt; a Momento webhook makes none.
func later(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", "0")
	w.WriteHeader(http.StatusServiceUnavailable)
}

// M3: after the DELETE's 204 nothing is sent and the secret is gone; a new webhook of the same name gets a new
// secret. M1: a second PUT keeps the secret and changes the destination.
func TestMomentoPutAgainAndDelete(t *testing.T) {
	t.Parallel()
	c := sharedAPI(t)
	cache, topic := topicOf(t)
	another := cache + " 2" // a second topic name, so that its events can be listed by type
	one, two := newRecorder(t), newRecorder(t)
	secret := c.topicHook(cache, "hook", one.URL, topic)
	require.Equal(t, secret, c.topicHook(cache, "hook", two.URL, another))
	c.say(cache, topic, "nobody's")
	c.say(cache, another, "two's")
	waitFor(t, "the second receiver", func() bool { return len(two.requests()) == 1 })
	require.Equal(t, "two's", requireMessage(t, two.requests()[0], secret).Text)

	secretPath := path("caches", cache, "webhooks", "hook", "secret")
	require.Equal(t, object{"secret": secret, "webhookName": "hook", "cacheName": cache}, c.do(http.MethodGet, secretPath, nil, 200))
	rotated := c.do(http.MethodPost, secretPath+"/rotate", nil, 200)["secret"].(string)
	require.NotEqual(t, secret, rotated)
	c.say(cache, another, "with the new secret")
	waitFor(t, "the next message", func() bool { return len(two.requests()) == 2 })
	require.Equal(t, int64(2), requireMessage(t, two.requests()[1], rotated).Sequence)

	c.do(http.MethodDelete, path("caches", cache, "webhooks", "hook"), nil, http.StatusNoContent)
	c.do(http.MethodDelete, path("caches", cache, "webhooks", "hook"), nil, http.StatusNotFound)
	c.do(http.MethodGet, secretPath, nil, http.StatusNotFound)
	c.say(cache, another, "after the end")
	fresh := c.topicHook(cache, "hook", two.URL, another)
	require.NotContains(t, []string{secret, rotated}, fresh)
	c.say(cache, another, "anew")
	waitFor(t, "the new webhook", func() bool { return len(two.requests()) == 3 })
	require.Equal(t, "anew", requireMessage(t, two.requests()[2], fresh).Text)
	require.Empty(t, one.requests())
	counts := map[any]any{}
	for _, e := range c.do(http.MethodGet, "/v1/events?type="+url.QueryEscape(another), nil, 200)["events"].([]any) {
		counts[e.(object)["data"]] = e.(object)["delivery_count"]
	}
	require.Equal(t, map[any]any{"two's": 1.0, "with the new secret": 1.0, "after the end": 0.0, "anew": 1.0}, counts)
}

// M7, spec 1: a worker is killed while a receiver holds the request, so the result is unknown. A Momento webhook is
// not sent the request again (at most once); a standard webhook is (at least once).
func TestMomentoAtMostOnceOverACrash(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--restart", quick)
	c := clientOf(t, s)
	cache, topic := topicOf(t)
	held, answered, standard := newRecorder(t, hang, status(200)), newRecorder(t), newRecorder(t, hang, status(200))
	secret := c.topicHook(cache, "held", held.URL, topic)
	c.topicHook(cache, "answered", answered.URL, topic)
	hook, eventType := c.webhook(standard.URL, object{"timeout_seconds": 30})
	c.say(cache, topic, "once")
	c.publish(eventType, object{})
	waitFor(t, "both requests, and the neighbour's record", func() bool {
		list := c.topicDeliveries(cache, "answered")
		return len(held.requests()) == 1 && len(standard.requests()) == 1 && len(list) == 1 && list[0].(object)["status"] == "success"
	})
	require.Equal(t, "pending", c.topicDeliveries(cache, "held")[0].(object)["status"])
	require.NoError(t, syscall.Kill(s.pid(t, "worker"), syscall.SIGKILL))

	// Temporal notices a dead worker when the activity times out.
	d := c.outcome(t, crashNoticed, cache, "held")
	require.Equal(t, "dropped", d["status"])
	require.Equal(t, "Outcome unknown", d["error"])
	require.NotContains(t, d, "delivered_at")
	require.NotContains(t, d, "status_code")
	require.Len(t, held.requests(), 1)
	requireMessage(t, held.requests()[0], secret)
	require.Len(t, answered.requests(), 1)
	require.Equal(t, "success", c.topicDeliveries(cache, "answered")[0].(object)["status"])

	waitUpTo(t, crashNoticed, "the standard webhook's second request", func() bool {
		return c.deliveries(hook)[0].(object)["status"] == "success"
	})
	require.Len(t, standard.requests(), 2)
	require.Equal(t, standard.requests()[0].Body, standard.requests()[1].Body)

	// The topic's sequence numbers continue.
	c.say(cache, topic, "next")
	waitFor(t, "the next message", func() bool { return len(held.requests()) == 2 })
	require.Equal(t, int64(2), requireMessage(t, held.requests()[1], secret).Sequence)
	require.False(t, slices.ContainsFunc(answered.requests()[1:], func(r recorded) bool { return strings.Contains(string(r.Body), "once") }))
}

// crashNoticed is the activity's time-out, the delay before its next attempt, and a margin.
const crashNoticed = 75 * time.Second
