package api_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/secrets"
)

// texts returns the texts of the messages in the answer to a poll.
func texts(t *testing.T, a answer) []string {
	t.Helper()
	var list []string
	for _, item := range a.list(t, "items") {
		message, ok := item["item"].(map[string]any)
		require.True(t, ok, "%v is no message", item)
		list = append(list, message["value"].(map[string]any)["text"].(string))
	}
	return list
}

// awkward returns texts that a component on their way could change.
func awkward() []string {
	return []string{
		`{"a":"<&>é\u0000 😀"}`, "", " ", "\n", "a\r\nb\tc", "\x00\x01\x1f\x7f", "\u2028\u2029", "\ufeffBOM", "\"\\\b\f/", "</script>", `{ "b" : 1.0 }`,
		"\ufffd", "\U0010ffff", "data: x\n\nid: 7", strings.Repeat("a", hook.MaxMessage), strings.Repeat("😀", hook.MaxMessage/4), strings.Repeat("\x00", hook.MaxMessage),
	}
}

// M5, M6: the text arrives byte for byte, on polls and in deliveries.
func TestPublishMessage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.put(t, "chat", "translator", "mo-nuts")
	for i, text := range awkward() {
		f.say(t, "chat", "mo-nuts", text)
		got := f.get(t, topicPath("chat", "mo-nuts")+"?sequence_number="+strconv.Itoa(i+1))
		require.Equal(t, []string{text}, texts(t, got))
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		stored := value[string](t, f, `select convert_from(data, 'UTF8') from events where sequence = $1`, i+1)
		require.Contains(t, string(got.body), `"text":`+stored+`}}}`, "as it is stored")
	}
	require.Len(t, f.dispatched.events(), len(awkward()), "one workflow each")
	require.Equal(t, len(awkward()), value[int](t, f, `select count(*) from deliveries where event_type = 'mo-nuts' and state = 'pending'`))
	// Neither an event type nor a topic of another cache is the same.
	require.Zero(t, value[int](t, f, `select count(*) from events where cache <> 'chat'`))
	f.say(t, "other", "mo-nuts", "a")
	require.Equal(t, len(awkward()), value[int](t, f, `select count(*) from deliveries`))
}

// M5: every textual content type is accepted, also curl's default for forms; other types are refused.
func TestMessageContentTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for contentType, ok := range map[string]bool{
		"": true, "text/plain": true, "text/plain; charset=utf-8": true, "TEXT/PLAIN;charset=UTF-8": true, "text/plain; charset=us-ascii": true,
		"text/html": true, "application/json": true, "application/json; charset=utf-8": true, "application/xml": true, "application/vnd.api+json": true,
		"application/x-www-form-urlencoded": true, "application/x-ndjson": true, "text/csv; header=present": true,
		"application/octet-stream": false, "image/png": false, "multipart/form-data; boundary=x": false, "text/plain; charset=iso-8859-1": false,
		"application/pdf": false, "nonsense": false, "text/plain;;": false,
	} {
		t.Run(contentType, func(t *testing.T) {
			t.Parallel()
			topic := "topic of " + contentType
			a := f.do(t, http.MethodPost, topicPath("chat", topic), `a=%20&b`, map[string]string{"Content-Type": contentType})
			if !ok {
				a.problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
				require.Zero(t, lastSequence(t, f, topic))
				return
			}
			require.Equal(t, http.StatusNoContent, a.status, "%s", a.body)
			require.Equal(t, []string{`a=%20&b`}, texts(t, f.get(t, topicPath("chat", topic)+"?sequence_number=1")))
		})
	}
}

// lastSequence counts a topic's messages through the store, which subtests may share.
func lastSequence(t *testing.T, f *fixture, topic string) int64 {
	t.Helper()
	id := (&hook.Topic{TenantID: hook.DefaultTenant(), Cache: "chat", Name: topic}).ID()
	last, err := f.store.LastSequences(t.Context(), []hook.TopicID{id})
	require.NoError(t, err)
	return last[id]
}

// M5, spec 2.4: 64 KiB of UTF-8, in bytes of the body, however it is sent.
func TestMessageLimits(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := topicPath("chat", "mo-nuts")
	for _, size := range []int{hook.MaxMessage + 1, hook.MaxMessage + 2, 1 << 20} {
		f.post(t, path, strings.Repeat("a", size)).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	}
	f.post(t, path, strings.Repeat("é", hook.MaxMessage/2)+"a").problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	for size, status := range map[int]int{hook.MaxMessage: http.StatusNoContent, hook.MaxMessage + 1: http.StatusRequestEntityTooLarge} {
		// A reader of unknown length is sent in chunks.
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+path, io.LimitReader(endless{}, int64(size)))
		require.NoError(t, err)
		require.LessOrEqual(t, r.ContentLength, int64(0))
		r.Header.Set("Authorization", f.key)
		response, err := f.server.Client().Do(r)
		require.NoError(t, err)
		response.Body.Close()
		require.Equal(t, status, response.StatusCode)
	}
	for body, at := range map[string]string{
		"\xff": "byte 0", "abc\xe9": "byte 3", "é\xc3(": "byte 2", "a\xed\xa0\x80": "byte 1", "\ufffd\xff": "byte 3", "\xc0\x80": "byte 0",
	} {
		f.post(t, path, body).refused(t, "body", at)
	}
	require.Equal(t, 1, value[int](t, f, `select count(*) from events`))
	require.Equal(t, 1, value[int](t, f, `select last_sequence::int from topics`))
	// Errors don't repeat the text.
	require.NotContains(t, string(f.post(t, path, "secret\xff").body), "secret")
	f.post(t, path+"?sequence_number=1", "a").refused(t, "query.sequence_number", "unknown query parameter")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// M5: token_id is that of the key, and the request can't set it.
func TestMessageTokenID(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key := f.post(t, "/v1/api-keys", `{"name":"a","scopes":["publish"],"token_id":"mo-the-squirrel"}`).object(t, http.StatusCreated)["key"].(string)
	f.as(key).say(t, "chat", "mo-nuts", `{"token_id":"forged"}`)
	require.Equal(t, "mo-the-squirrel", value[string](t, f, `select token_id from events`))
	f.say(t, "chat", "mo-nuts", "by a key without one")
	require.Empty(t, value[string](t, f, `select token_id from events where sequence = 2`))
}

// Spec 7: a key's list of topics.
func TestMessageOfALimitedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	key := f.post(t, "/v1/api-keys", `{"name":"a","scopes":["publish"],"topics":["mo-nuts","chat.*"]}`).object(t, http.StatusCreated)["key"].(string)
	limited := f.as(key)
	limited.say(t, "chat", " mo-nuts ", "a")
	limited.say(t, "chat", "chat.en", "a")
	for _, topic := range []string{"other", "mo-nuts2", "chat"} {
		limited.post(t, topicPath("chat", topic), "a").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	}
	require.Equal(t, 2, value[int](t, f, `select count(*) from events`))
}

// M6: numbers count up by one, without gaps or duplicates, however many clients publish.
func TestMessagesOfManyPublishers(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	var all sync.WaitGroup
	const publishers, each = 50, 4
	for i := range publishers {
		for range each {
			publish := f.prepare(t, http.MethodPost, topicPath("chat", "mo-nuts"), strconv.Itoa(i))
			all.Go(func() {
				if a := publish(); a.status != http.StatusNoContent {
					t.Errorf("%d: %s", a.status, a.body)
				}
			})
		}
	}
	all.Wait()
	var next int64 = 1
	counts := map[string]int{}
	for next <= publishers*each {
		for _, item := range messages(t, f.get(t, topicPath("chat", "mo-nuts")+"?sequence_number="+strconv.Itoa(int(next)))) {
			require.Equal(t, next, item.Number)
			counts[item.Value.Text]++
			next++
		}
	}
	require.Len(t, counts, publishers)
	for _, n := range counts {
		require.Equal(t, each, n)
	}
}

// M9: the key as Bearer, raw, or in the query; both at once is 400.
func TestTopicKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	revoked := f.post(t, "/v1/api-keys", `{"name":"a","scopes":["admin"]}`).object(t, http.StatusCreated)
	require.Equal(t, http.StatusNoContent, f.do(t, "DELETE", "/v1/api-keys/"+revoked["id"].(string), "", nil).status)
	good, gone, wrong := f.key, revoked["key"].(string), secrets.NewAPIKey().Reveal()
	for name, c := range map[string]struct {
		authorization, token string
		status               int
	}{
		"bearer":                    {"Bearer " + good, "", 0},
		"bearer in another case":    {"bearer  " + good, "", 0},
		"raw":                       {good, "", 0},
		"token":                     {"", good, 0},
		"raw and token":             {good, good, 400},
		"bearer and token":          {"Bearer " + good, good, 400},
		"wrong header, right token": {wrong, good, 400},
		"none":                      {"", "", 401},
		"bearer without a key":      {"Bearer ", "", 401},
		"another scheme":            {"Basic " + good, "", 401},
		"wrong bearer":              {"Bearer " + wrong, "", 401},
		"wrong raw":                 {wrong, "", 401},
		"wrong token":               {"", wrong, 401},
		"revoked raw":               {gone, "", 401},
		"revoked token":             {"", gone, 401},
		"a token that is a scheme":  {"", "Bearer " + good, 401},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := topicPath("chat", name)
			query := url.Values{}
			if c.token != "" {
				query.Set("token", c.token)
			}
			header := map[string]string{"Authorization": c.authorization}
			published := f.do(t, http.MethodPost, path+"?"+query.Encode(), "a", header)
			query.Set("sequence_number", "1")
			if c.status == 0 {
				require.Equal(t, http.StatusNoContent, published.status, "%s", published.body)
				require.Equal(t, []string{"a"}, texts(t, f.do(t, http.MethodGet, path+"?"+query.Encode(), "", header)))
				return
			}
			for _, a := range []answer{published, f.do(t, http.MethodGet, path+"?"+query.Encode(), "", header)} {
				if c.status == 400 {
					require.NotEmpty(t, a.problem(t, c.status, "INVALID_ARGUMENT").at(t, "query.token"))
				} else {
					a.problem(t, c.status, "UNAUTHENTICATED")
					require.Equal(t, "Bearer", a.header.Get("WWW-Authenticate"))
				}
				for _, key := range []string{good, gone, wrong} {
					require.NotContains(t, string(a.body), key)
					require.NotContains(t, f.log.String(), key)
				}
			}
			require.Zero(t, lastSequence(t, f, name))
		})
	}
	t.Run("nowhere else", func(t *testing.T) {
		t.Parallel()
		f.do(t, http.MethodGet, "/caches/chat/webhooks", "", map[string]string{"Authorization": good}).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
		f.as("").get(t, "/caches/chat/webhooks?token="+good).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		f.as("").get(t, topicPath("chat", "a")+"?token="+good+"&token="+good).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	})
}

// A key in the URL is not logged when something fails.
func TestTokenIsNotLogged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.exec(t, `drop table topics`)
	f.as("").post(t, topicPath("chat", "a")+"?token="+f.key, "a").problem(t, http.StatusInternalServerError, "INTERNAL")
	require.Contains(t, f.log.String(), "request failed")
	require.NotContains(t, f.log.String(), f.key)
}

// M5: a message that can't be stored has no 204, makes no delivery and wakes no subscriber.
func TestMessageThatCannotBeStored(t *testing.T) {
	t.Parallel()
	f, store := setupFaulty(t)
	f.put(t, "chat", "translator", "mo-nuts")
	store.arm(1, hook.Unavailable("the store", errors.New(marker)))
	a := f.post(t, topicPath("chat", "mo-nuts"), "a")
	a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	require.NotContains(t, string(a.body), "MARKER")
	require.Empty(t, f.dispatched.events())
	store.arm(0, nil)
	f.say(t, "chat", "mo-nuts", "b")
	require.Equal(t, []string{"b"}, texts(t, f.get(t, topicPath("chat", "mo-nuts")+"?sequence_number=1")))
}

// message is an item of a poll, read strictly.
type message struct {
	Page   int64 `json:"sequence_page"`
	Number int64 `json:"topic_sequence_number"`
	Value  struct {
		Text string `json:"text"`
	} `json:"value"`
}

// messages returns the messages of an answer that has nothing else.
func messages(t *testing.T, a answer) []message {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	var v struct {
		Items []struct {
			Item *message `json:"item"`
		} `json:"items"`
	}
	dec := json.NewDecoder(strings.NewReader(string(a.body)))
	dec.DisallowUnknownFields()
	require.NoError(t, dec.Decode(&v), "%s", a.body)
	list := make([]message, 0, len(v.Items))
	for _, item := range v.Items {
		require.NotNil(t, item.Item)
		list = append(list, *item.Item)
	}
	return list
}
