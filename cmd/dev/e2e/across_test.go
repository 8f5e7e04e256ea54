package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// listed returns the first webhook on all pages of /v1/webhooks for which is returns true, or nil.
func (c *apiClient) listed(query string, is func(object) bool) object {
	c.t.Helper()
	cursor := ""
	for {
		page := c.do(http.MethodGet, "/v1/webhooks?limit=100&"+query+cursor, nil, http.StatusOK)
		for _, w := range page["webhooks"].([]any) {
			if is(w.(object)) {
				return w.(object)
			}
		}
		if page["next_cursor"] == nil {
			return nil
		}
		cursor = "&cursor=" + url.QueryEscape(page["next_cursor"].(string))
	}
}

// topicHookOf returns a Momento webhook as the standard surface shows it.
func (c *apiClient) topicHookOf(cache, name string) object {
	c.t.Helper()
	return c.listed("profile=momento", func(w object) bool { return w["cache_name"] == cache && w["webhook_name"] == name })
}

// inCache returns a Momento webhook as its own surface lists it, or nil if it is not in the list.
func (c *apiClient) inCache(cache, name string) object {
	c.t.Helper()
	for _, w := range c.do(http.MethodGet, path("caches", cache, "webhooks"), nil, http.StatusOK)["webhooks"].([]any) {
		id := w.(object)["id"].(object)
		require.Equal(c.t, cache, id["cacheName"])
		if id["webhookName"] == name {
			return w.(object)
		}
	}
	return nil
}

// three is one webhook of each profile.
type three struct {
	c *apiClient
	// eventType is the type that the standard and Commenda webhooks get; cache and topic are Momento's.
	eventType, cache, topic                                   string
	standard, commenda, momento                               *recorder
	standardID, standardSecret, commendaID, commendaKey, name string
	momentoSecret, momentoID                                  string
}

func newThree(t *testing.T, script ...http.HandlerFunc) *three {
	t.Helper()
	h := &three{
		c: sharedAPI(t), standard: newRecorder(t, script...), commenda: newRecorder(t, script...), momento: newRecorder(t, script...),
		standardSecret: "whsec_c2VjcmV0", name: "the third",
	}
	h.standardID, h.eventType = h.c.webhook(h.standard.URL, object{"secret": h.standardSecret})
	h.commendaID, h.commendaKey = h.c.commendaHook(h.commenda.URL, object{"topics": []string{h.eventType}})
	h.cache, _ = topicOf(t)
	// The topic has the event type's name, but the two are unrelated: a topic belongs to a cache.
	h.topic = h.eventType
	h.momentoSecret = h.c.topicHook(h.cache, h.name, h.momento.URL, h.topic)
	h.momentoID = h.c.topicHookOf(h.cache, h.name)["id"].(string)
	return h
}

// hooks returns the three webhooks' ids on the standard surface, by profile.
func (h *three) hooks(t *testing.T) map[string]string {
	t.Helper()
	return map[string]string{"standard": h.standardID, "commenda": hookID(t, h.commendaID), "momento": h.momentoID}
}

// requireSigned checks the signature of every request that the three webhooks have received.
func (h *three) requireSigned(t *testing.T) {
	t.Helper()
	for _, request := range h.standard.requests() {
		require.Equal(t, hmacHex(h.standardSecret, request.Body), request.Header.Get("X-Webhook-Signature"))
	}
	for _, request := range h.commenda.requests() {
		requireEvent(t, request, h.commendaID, h.commendaKey)
	}
	for _, request := range h.momento.requests() {
		requireMessage(t, request, h.momentoSecret)
	}
}

// C6: an event published on either surface reaches the webhooks of both profiles as one event. It does not become a
// message of a topic of the same name.
func TestAcrossAnEventReachesBothProfiles(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	c := h.c
	there := c.publish(h.eventType, object{"from": "/v1/events"})
	answer := c.commendaPublish(h.eventType, object{"from": "/events"})
	require.EqualValues(t, 2, answer["deliveries"])
	c.say(h.cache, h.topic, "from the topic")
	waitFor(t, "all of it", func() bool {
		return len(h.standard.requests()) == 2 && len(h.commenda.requests()) == 2 && len(h.momento.requests()) == 1
	})
	h.requireSigned(t)
	require.Equal(t, "from the topic", requireMessage(t, h.momento.requests()[0], h.momentoSecret).Text)

	here, err := hook.ParseEventID(answer["id"].(string))
	require.NoError(t, err)
	want := map[string]string{there: `{"from":"/v1/events"}`, here.String(): `{"from":"/events"}`}
	for _, request := range h.commenda.requests() {
		e := requireEvent(t, request, h.commendaID, h.commendaKey)
		id, err := hook.ParseEventID(e.ID)
		require.NoError(t, err)
		require.Equal(t, want[id.String()], string(e.Data))
	}
	for id, data := range want {
		e := c.do(http.MethodGet, "/v1/events/"+id, nil, http.StatusOK)
		require.Len(t, e["deliveries"], 2)
		found := false
		for _, request := range h.standard.requests() {
			found = found || string(request.Body) == fmt.Sprintf(`{"id":"%s","type":"%s","created_at":"%s","data":%s}`, id, h.eventType, e["created_at"], data)
		}
		require.True(t, found, "the standard webhook's %s", data)
	}
}

// S2: /v1/webhooks lists the webhooks of every profile; Momento's and Commenda's surfaces list only their own.
func TestAcrossListsShowEveryProfile(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	for profile, id := range h.hooks(t) {
		is := func(w object) bool { return w["id"] == id }
		for _, query := range []string{"", "profile=" + profile} {
			w := h.c.listed(query, is)
			require.NotNil(t, w, "%s in %q", profile, query)
			require.Equal(t, profile, w["profile"])
			require.Equal(t, []any{h.eventType}, w["events"])
			require.NotContains(t, w, "secret")
		}
		others := map[string]string{"standard": "commenda", "commenda": "momento", "momento": "standard"}
		require.Nil(t, h.c.listed("profile="+others[profile], is))
		w := h.c.do(http.MethodGet, "/v1/webhooks/"+id, nil, http.StatusOK)
		require.Equal(t, profile, w["profile"])
		require.Equal(t, "healthy", w["status"])
	}
	require.Equal(t, object{
		"id": object{"cacheName": h.cache, "webhookName": h.name}, "destination": object{"postUrl": h.momento.URL}, "topicName": h.topic,
	}, h.c.inCache(h.cache, h.name))
	list := h.c.do(http.MethodGet, "/webhooks", nil, http.StatusOK)
	require.Equal(t, "Successfully fetched webhooks.", list["message"])
	var own []any
	for _, w := range list["data"].(object)["webhooks"].([]any) {
		if w := w.(object); slices.Contains(w["topics"].([]any), any(h.eventType)) {
			own = append(own, w)
		}
	}
	one := h.c.do(http.MethodGet, "/webhooks/"+h.commendaID, nil, http.StatusOK)["data"].(object)
	require.Equal(t, []any{one}, own, "the standard one and Momento's are not Commenda's")
	require.Equal(t, h.commendaID, one["id"])
	require.Equal(t, h.commenda.URL, one["url"])
	require.NotContains(t, one, "key")
}

// A change made on one surface is visible on the others.
func TestAcrossChangesAreSeenEverywhere(t *testing.T) {
	t.Parallel()
	h := newThree(t)
	c, ids := h.c, h.hooks(t)
	one := func(profile string) string { return "/v1/webhooks/" + ids[profile] }
	commenda := func() object {
		return c.do(http.MethodGet, "/webhooks/"+h.commendaID, nil, http.StatusOK)["data"].(object)
	}
	another := newRecorder(t)
	c.do(http.MethodPatch, one("commenda"), object{"url": another.URL, "description": "renamed"}, http.StatusOK)
	require.Equal(t, another.URL, commenda()["url"])
	c.do(http.MethodPatch, one("momento"), object{"url": another.URL}, http.StatusOK)
	require.Equal(t, object{"postUrl": another.URL}, c.inCache(h.cache, h.name)["destination"])
	require.Equal(t, another.URL, c.do(http.MethodGet, one("momento"), nil, http.StatusOK)["url"])

	// active: false is Commenda's DISABLED, and the reverse.
	for _, profile := range []string{"commenda", "momento"} {
		c.do(http.MethodPatch, one(profile), object{"active": false}, http.StatusOK)
	}
	require.Equal(t, "DISABLED", commenda()["status"])
	c.commendaPublish(h.eventType, object{})
	c.say(h.cache, h.topic, "nobody's")
	waitFor(t, "the standard webhook", func() bool { return len(h.standard.requests()) == 1 })
	require.Empty(t, c.deliveries(ids["commenda"]))
	require.Empty(t, c.topicDeliveries(h.cache, h.name))
	c.do(http.MethodPost, "/webhooks/"+h.commendaID, object{"status": "ENABLED"}, http.StatusOK)
	require.Equal(t, true, c.do(http.MethodGet, one("commenda"), nil, http.StatusOK)["active"])
	c.do(http.MethodPatch, one("momento"), object{"active": true}, http.StatusOK)
	c.commendaPublish(h.eventType, object{})
	c.say(h.cache, h.topic, "somebody's")
	waitFor(t, "the other receiver", func() bool { return len(another.requests()) == 2 })

	// A secret set or rotated on the standard surface signs the profile's requests.
	c.do(http.MethodPatch, one("commenda"), object{"secret": "a new key"}, http.StatusOK)
	require.Equal(t, h.momentoSecret, c.do(http.MethodGet, one("momento")+"/secret", nil, http.StatusOK)["secret"])

	c.do(http.MethodDelete, one("commenda"), nil, http.StatusNoContent)
	c.do(http.MethodGet, "/webhooks/"+h.commendaID, nil, http.StatusNotFound)
	c.do(http.MethodDelete, one("momento"), nil, http.StatusNoContent)
	require.Nil(t, c.inCache(h.cache, h.name))
	c.do(http.MethodGet, path("caches", h.cache, "webhooks", h.name, "secret"), nil, http.StatusNotFound)

	id, _ := c.commendaHook(another.URL, object{"topic": h.eventType})
	c.do(http.MethodDelete, "/webhooks/"+id, nil, http.StatusNoContent)
	c.do(http.MethodGet, "/v1/webhooks/"+hookID(t, id), nil, http.StatusNotFound)
	c.topicHook(h.cache, "short-lived", another.URL, h.topic)
	gone := c.topicHookOf(h.cache, "short-lived")["id"].(string)
	c.do(http.MethodDelete, path("caches", h.cache, "webhooks", "short-lived"), nil, http.StatusNoContent)
	c.do(http.MethodGet, "/v1/webhooks/"+gone, nil, http.StatusNotFound)
}

// S11, S13: test deliveries and manual retries work for webhooks of every profile.
func TestAcrossTestsAndRetriesByHand(t *testing.T) {
	t.Parallel()
	h := newThree(t, status(500), status(200))
	recorders := map[string]*recorder{"standard": h.standard, "commenda": h.commenda, "momento": h.momento}
	for profile, id := range h.hooks(t) {
		failed := h.c.do(http.MethodPost, "/v1/webhooks/"+id+"/test", nil, http.StatusOK)
		require.Equal(t, "failed", failed["status"], profile)
		require.Equal(t, true, failed["test"], profile)
		require.NotContains(t, failed, "next_attempt_at", profile)
		retried := h.c.do(http.MethodPost, "/v1/deliveries/"+failed["id"].(string)+"/retry", nil, http.StatusOK)
		require.Equal(t, "success", retried["status"], profile)
		require.EqualValues(t, 2, retried["attempts"], profile)
		require.NotContains(t, retried, "error", profile)
		require.Equal(t, true, retried["attempt_log"].([]any)[1].(object)["manual"], profile)
		require.Len(t, recorders[profile].requests(), 2, profile)
	}
	h.requireSigned(t)
	for _, request := range h.momento.requests() {
		m := requireMessage(t, request, h.momentoSecret)
		require.Equal(t, int64(0), m.Sequence, "a test is no message of the topic")
		require.Equal(t, h.topic, m.Topic)
	}
	h.c.say(h.cache, h.topic, "the first")
	waitFor(t, "the message", func() bool { return len(h.momento.requests()) == 3 })
	require.Equal(t, int64(1), requireMessage(t, h.momento.requests()[2], h.momentoSecret).Sequence)
}

// C7, M10: the delivery log is the same on every surface.
func TestAcrossLogsAreTheSame(t *testing.T) {
	t.Parallel()
	h := newThree(t, status(200), status(400), status(200))
	c, ids := h.c, h.hooks(t)
	for i := range 3 {
		c.publish(h.eventType, object{"i": i})
		c.say(h.cache, h.topic, fmt.Sprint(i))
		waitFor(t, "the attempts", func() bool {
			return len(h.standard.requests()) > i && len(h.commenda.requests()) > i && len(h.momento.requests()) > i
		})
	}
	c.do(http.MethodPost, "/webhooks/test/trigger/"+h.commendaID, nil, http.StatusOK)
	// Failed deliveries are tried again, except Momento's.
	for profile, id := range ids {
		waitFor(t, profile+" to settle", func() bool {
			for _, d := range c.deliveries(id) {
				if s := d.(object)["status"]; s != "success" && (profile != "momento" || s != "failed") {
					return false
				}
			}
			return true
		})
	}
	there := c.do(http.MethodGet, "/webhooks/"+h.commendaID+"/deliveries?limit=100", nil, http.StatusOK)["deliveries"].([]any)
	here := c.deliveries(ids["commenda"])
	require.Len(t, here, 4)
	for _, d := range there {
		requireTypeIDs(t, d.(object))
	}
	require.Equal(t, here, there)
	require.Len(t, c.deliveries(ids["momento"]), 3)
	require.Equal(t, c.deliveries(ids["momento"]), c.topicDeliveries(h.cache, h.name))
	h.requireSigned(t)
}

// requireTypeIDs replaces the UUIDs in an entry of Commenda's log with the ids that the other surfaces show.
func requireTypeIDs(t *testing.T, d object) {
	t.Helper()
	for _, name := range []string{"id", "event_id", "webhook_id"} {
		require.Regexp(t, uuid, d[name])
	}
	delivery, err := hook.ParseDeliveryID(d["id"].(string))
	require.NoError(t, err)
	event, err := hook.ParseEventID(d["event_id"].(string))
	require.NoError(t, err)
	d["id"], d["event_id"], d["webhook_id"] = delivery.String(), event.String(), hookID(t, d["webhook_id"].(string))
}
