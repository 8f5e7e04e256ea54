package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// limitedKey creates a key with these members besides its name, and returns a client with it.
func (f *fixture) limitedKey(t *testing.T, members map[string]any) *client {
	t.Helper()
	members["name"] = "limited"
	body, err := json.Marshal(members)
	require.NoError(t, err)
	return f.as(f.post(t, "/v1/api-keys", string(body)).object(t, http.StatusCreated)["key"].(string))
}

// A key that is limited to topics may read these only, on every path.
func TestTopicsLimitReading(t *testing.T) {
	t.Parallel()
	f := setup(t)
	all := f.newWebhook(t, "*")
	send := func(eventType string) (event, delivery string) {
		event = f.post(t, "/v1/events", `{"type":"`+eventType+`","data":{}}`).object(t, http.StatusAccepted)["id"].(string)
		return event, objects(t, f.get(t, "/v1/events/"+event).object(t, http.StatusOK)["deliveries"])[0]["id"].(string)
	}
	user, userDelivery := send("user.created")
	file, fileDelivery := send("file.uploaded")
	f.put(t, "chat", "translator", "room")
	f.put(t, "other", "translator", "room")
	f.say(t, "chat", "room", "in chat")
	f.say(t, "other", "room", "elsewhere")

	limited := f.limitedKey(t, map[string]any{"scopes": []string{"read"}, "topics": []string{"user.*", "room"}})
	listed := func(c *client, path, name string) []string { return ids(c.get(t, path).list(t, name)) }
	require.Len(t, listed(f.client, "/v1/events", "events"), 4)
	require.Len(t, listed(limited, "/v1/events", "events"), 3)
	require.NotContains(t, listed(limited, "/v1/events", "events"), file)
	require.Empty(t, listed(limited, "/v1/events?type=file.uploaded", "events"))
	limited.get(t, "/v1/events/"+user).object(t, http.StatusOK)
	limited.get(t, "/v1/events/"+file).problem(t, http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, []string{userDelivery}, listed(limited, "/v1/webhooks/"+all+"/deliveries", "deliveries"))
	require.Empty(t, listed(limited, "/v1/webhooks/"+all+"/deliveries?event_type=file.uploaded", "deliveries"))
	limited.get(t, "/v1/deliveries/"+userDelivery).object(t, http.StatusOK)
	limited.get(t, "/v1/deliveries/"+fileDelivery).problem(t, http.StatusNotFound, "NOT_FOUND")
	limited.get(t, topicPath("chat", "room")+"?sequence_number=1").object(t, http.StatusOK)
	limited.get(t, topicPath("chat", "lobby")+"?sequence_number=1").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	limited.do(t, http.MethodGet, topicPath("chat", "lobby"), "", map[string]string{"Accept": "text/event-stream"}).
		problem(t, http.StatusForbidden, "PERMISSION_DENIED")

	// A key that is also limited to caches reads nothing without a cache, and nothing of another cache.
	chat := f.limitedKey(t, map[string]any{"scopes": []string{"read", "publish"}, "caches": []string{"chat"}})
	require.Len(t, listed(chat, "/v1/events", "events"), 1)
	chat.get(t, "/v1/events/"+user).problem(t, http.StatusNotFound, "NOT_FOUND")
	chat.get(t, "/v1/deliveries/"+userDelivery).problem(t, http.StatusNotFound, "NOT_FOUND")
	chat.get(t, "/v1/webhooks/"+all+"/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")
	require.Len(t, listed(chat, named("chat", "translator")+"/deliveries", "deliveries"), 1)
	chat.get(t, named("other", "translator")+"/deliveries").problem(t, http.StatusNotFound, "NOT_FOUND")
	message := listed(chat, named("chat", "translator")+"/deliveries", "deliveries")[0]
	chat.get(t, "/v1/deliveries/"+message).object(t, http.StatusOK)
	chat.get(t, topicPath("chat", "room")+"?sequence_number=1").object(t, http.StatusOK)
	chat.get(t, topicPath("other", "room")+"?sequence_number=1").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	chat.say(t, "chat", "lobby", "hello")
	chat.do(t, http.MethodPost, topicPath("other", "room"), "x", map[string]string{"Content-Type": "text/plain"}).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	chat.post(t, "/v1/events", `{"type":"user.created","data":1}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	chat.post(t, "/events", `{"topic":"user.created","data":1}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}

// Commenda's delivery log is limited as that of /v1 is.
func TestTopicsLimitCommendasLog(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A", "B")
	for _, topic := range []string{"A", "B"} {
		f.post(t, "/events", `{"topic":"`+topic+`","data":1}`).object(t, http.StatusAccepted)
	}
	limited := f.limitedKey(t, map[string]any{"scopes": []string{"read"}, "topics": []string{"A"}})
	require.Len(t, f.get(t, "/webhooks/"+id+"/deliveries").list(t, "deliveries"), 2)
	listed := limited.get(t, "/webhooks/"+id+"/deliveries").list(t, "deliveries")
	require.Len(t, listed, 1)
	require.Equal(t, "A", listed[0]["event_type"])
}

// A limited key may only create or redirect webhooks whose events it may read.
func TestTopicsLimitSubscribing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	limited := f.limitedKey(t, map[string]any{"scopes": []string{"webhooks"}, "topics": []string{"user.*", "room", "file.uploaded"}})
	create := func(c *client, events string) answer {
		return c.post(t, "/v1/webhooks", `{"url":"https://a.example/","events":`+events+`}`)
	}
	for _, events := range []string{`["*"]`, `["file.*"]`, `["user.created","project.created"]`, `["webhook.disabled"]`} {
		create(limited, events).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	}
	own := create(limited, `["user.*","user.created","file.uploaded"]`).object(t, http.StatusCreated)["id"].(string)
	patch := func(id, body string) answer { return limited.do(t, http.MethodPatch, "/v1/webhooks/"+id, body, nil) }
	patch(own, `{"events":["*"]}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	patch(own, `{"url":"https://b.example/"}`).object(t, http.StatusOK)
	others := create(f.client, `["*"]`).object(t, http.StatusCreated)["id"].(string)
	patch(others, `{"url":"https://evil.example/"}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	patch(others, `{"paused":true}`).object(t, http.StatusOK)
	patch(others, `{"url":"https://evil.example/","events":["user.created"]}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	require.Equal(t, "https://a.example/", f.get(t, "/v1/webhooks/"+others).object(t, http.StatusOK)["url"])

	limited.post(t, "/webhooks", `{"url":"https://a.example/","topics":["project.created"]}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	commenda := f.newCommendaWebhook(t, "project.created")
	limited.post(t, "/webhooks/"+commenda, `{"url":"https://evil.example/"}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	limited.post(t, "/webhooks/"+commenda, `{"url":"https://evil.example/","topics":["room"]}`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	limited.put(t, "chat", "mine", "room")
	const lobby = `{"destination":{"postUrl":"https://evil.example/"},"topicName":"lobby"}`
	limited.do(t, http.MethodPut, named("chat", "mine"), lobby, nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	f.put(t, "chat", "theirs", "lobby")
	limited.do(t, http.MethodPut, named("chat", "theirs"), `{"destination":{"postUrl":"https://evil.example/"},"topicName":"room"}`, nil).
		problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	chat := f.limitedKey(t, map[string]any{"scopes": []string{"webhooks"}, "caches": []string{"chat"}})
	chat.put(t, "chat", "any", "lobby")
	chat.do(t, http.MethodPut, named("other", "any"), lobby, nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	create(chat, `["user.created"]`).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}

// A limited admin key can't create a key that is less limited.
func TestLimitedKeysMakeLimitedKeys(t *testing.T) {
	t.Parallel()
	f := setup(t)
	admin := f.limitedKey(t, map[string]any{"scopes": []string{"admin"}, "topics": []string{"user.*", "room"}, "caches": []string{"chat", "own"}})
	for body, status := range map[string]int{
		`{"name":"x","scopes":["read"]}`:                                               http.StatusForbidden,
		`{"name":"x","scopes":["read"],"topics":["user.*"]}`:                           http.StatusForbidden,
		`{"name":"x","scopes":["read"],"caches":["chat"]}`:                             http.StatusForbidden,
		`{"name":"x","scopes":["read"],"topics":["*"],"caches":["chat"]}`:              http.StatusForbidden,
		`{"name":"x","scopes":["read"],"topics":["user.*","a"],"caches":["chat"]}`:     http.StatusForbidden,
		`{"name":"x","scopes":["read"],"topics":["user.*"],"caches":["chat","other"]}`: http.StatusForbidden,
		`{"name":"x","scopes":["read"],"topics":["user.a","room"],"caches":["chat"]}`:  http.StatusCreated,
		`{"name":"x","scopes":["admin"],"topics":["user.a.*"],"caches":["own"]}`:       http.StatusCreated,
	} {
		require.Equal(t, status, admin.post(t, "/v1/api-keys", body).status, body)
	}
	for body, location := range map[string]string{
		`{"name":"x","scopes":["read"],"caches":[]}`:     "body.caches",
		`{"name":"x","scopes":["read"],"caches":[" a"]}`: "body.caches[0]",
		`{"name":"x","scopes":["read"],"caches":[""]}`:   "body.caches[0]",
	} {
		f.post(t, "/v1/api-keys", body).refused(t, location, "")
	}
	k := f.post(t, "/v1/api-keys", `{"name":"x","scopes":["subscribe"],"caches":["chat"]}`).object(t, http.StatusCreated)
	require.Equal(t, []any{"chat"}, k["caches"])
	require.Equal(t, []any{}, k["scopes"], "clients from before know four of them")
	require.Equal(t, true, k["subscribe"])
}

// A topic token allows following its topics for some time, and nothing else.
func TestTopicTokens(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.say(t, "chat", "room-1", "hello")
	minter := f.post(t, "/v1/api-keys", `{"name":"m","scopes":["subscribe"],"caches":["chat"],"topics":["room-1","room.*"]}`).object(t, http.StatusCreated)
	key := f.as(minter["key"].(string))
	key.get(t, "/v1/webhooks").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	for _, body := range []string{
		`{"cache_name":"other","topics":["room-1"]}`, `{"cache_name":"chat","topics":["lobby"]}`, `{"cache_name":"chat","topics":["*"]}`,
	} {
		key.post(t, "/v1/topic-tokens", body).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	}
	for body, location := range map[string]string{
		`{"cache_name":"chat"}`:                                      "body",
		`{"cache_name":"chat","topics":[]}`:                          "body.topics",
		`{"cache_name":"chat","topics":["a*"]}`:                      "body.topics[0]",
		`{"cache_name":"","topics":["room-1"]}`:                      "body.cache_name",
		`{"cache_name":"chat","topics":["room-1"],"expires_in":1}`:   "body.expires_in",
		`{"cache_name":"chat","topics":["room-1"],"expires_in":1e9}`: "body.expires_in",
	} {
		key.post(t, "/v1/topic-tokens", body).refused(t, location, "")
	}
	a := key.post(t, "/v1/topic-tokens", `{"cache_name":"chat","topics":["room-1","room.a.*"],"expires_in":60}`)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	made := a.object(t, http.StatusCreated)
	text := made["token"].(string)
	require.Regexp(t, `^gt_[A-Za-z0-9_-]+$`, text)
	until, err := time.Parse(time.RFC3339, made["expires_at"].(string))
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Minute), until, 5*time.Second)

	page := f.as("")
	follow := func(token, cache, topic string) answer {
		return page.do(t, http.MethodGet, topicPath(cache, topic)+"?sequence_number=1&token="+token, "", nil)
	}
	require.Len(t, follow(text, "chat", "room-1").list(t, "items"), 1)
	f.as(text).get(t, topicPath("chat", "room-1")+"?sequence_number=1").object(t, http.StatusOK)
	for _, c := range [][2]string{{"chat", "lobby"}, {"chat", "room.b"}, {"other", "room-1"}} {
		follow(text, c[0], c[1]).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	}
	for _, c := range calls() {
		if c.id == "follow-topic" || c.public() {
			continue
		}
		f.as(text).do(t, c.method, c.with(f.resources(t)), c.body, nil).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	}
	// Tokens can't be made for topics that the key may not follow, and can't be changed.
	for _, forged := range []string{"gt_", "gt_x", text[:len(text)-1], text + "A", "gt_" + text[4:], text[3:]} {
		follow(forged, "chat", "room-1").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	}
	old, err := f.store.CreateTopicToken(t.Context(), hook.TopicToken{
		TenantID: hook.DefaultTenant(), Key: f.keyID(t, minter["id"]), Cache: "chat", Topics: []string{"room-1"}, Until: time.Now().Add(-time.Second),
	})
	require.NoError(t, err)
	follow(old.Reveal(), "chat", "room-1").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")

	// A token ends with the key that made it.
	require.Equal(t, http.StatusNoContent, f.do(t, http.MethodDelete, "/v1/api-keys/"+minter["id"].(string), "", nil).status)
	follow(text, "chat", "room-1").problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
	require.NotContains(t, f.log.String(), text)
}

func (f *fixture) keyID(t *testing.T, id any) hook.KeyID {
	t.Helper()
	key, err := hook.ParseKeyID(id.(string))
	require.NoError(t, err)
	return key
}

// A stream does not outlive its token.
func TestStreamsEndWithTheirToken(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	id := f.keyID(t, f.get(t, "/v1/api-keys").list(t, "api_keys")[0]["id"])
	until := time.Now().Add(1500 * time.Millisecond).Truncate(time.Second).Add(time.Second)
	text, err := f.store.CreateTopicToken(t.Context(), hook.TopicToken{TenantID: hook.DefaultTenant(), Key: id, Cache: "chat", Topics: []string{"room"}, Until: until})
	require.NoError(t, err)
	s := f.as(text.Reveal()).open(t, topicPath("chat", "room"), nil)
	s.next(t)
	s.ends(t)
	require.False(t, time.Now().Before(until), "it lasted until then")
}
