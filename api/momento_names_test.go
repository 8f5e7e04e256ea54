package api_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

// Spec 4: names are percent-decoded segments of any characters.
func TestMomentoNames(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	names := []string{
		"plain", "with spaces in it", "a/b", "/", "/a", "a/", "//", "100%", "%2F", "a+b", "a?b", "a#b", "a&b=c;d", ".", "..", "a..b", "*", "user.*", "{id}",
		"é中文😀", "quote\"'\\", "secret", "a:b@c", strings.Repeat("é", 128),
	}
	for _, name := range names {
		path := named(name, name)
		if strings.Trim(name, ".") == "" { // both clients and servers take dots for directories
			dots := strings.Repeat("%2E", len(name))
			path = "/caches/" + dots + "/webhooks/" + dots
		}
		body, err := json.Marshal(map[string]any{"destination": map[string]any{"postUrl": "https://yourapp.com/"}, "topicName": name})
		require.NoError(t, err)
		secret := f.do(t, http.MethodPut, path, string(body), nil).object(t, http.StatusOK)["secretString"]
		require.Equal(t, map[string]any{"secret": secret, "webhookName": name, "cacheName": name}, f.get(t, path+"/secret").object(t, http.StatusOK))
		list := f.get(t, strings.TrimSuffix(path, path[strings.LastIndex(path, "/"):])).list(t, "webhooks")
		require.Len(t, list, 1, name)
		require.Equal(t, map[string]any{"cacheName": name, "webhookName": name}, list[0]["id"])
		require.Equal(t, name, list[0]["topicName"])

		topic := "/topics" + strings.TrimPrefix(strings.Replace(path, "/webhooks/", "/", 1), "/caches")
		require.Equal(t, http.StatusNoContent, f.post(t, topic, name).status, name)
		got := f.get(t, topic+"?sequence_number=1").list(t, "items")
		require.Len(t, got, 1, name)
		require.Equal(t, 1, value[int](t, f, `select count(*) from topics where cache = $1 and name = $1`, name))
		require.Equal(t, 1, value[int](t, f, `select count(*) from deliveries where event_type = $1`, name), name)
		require.Len(t, f.get(t, path+"/deliveries").list(t, "deliveries"), 1, name)
		require.Equal(t, http.StatusNoContent, f.do(t, http.MethodDelete, path, "", nil).status, name)
	}
	require.Equal(t, len(names), value[int](t, f, `select count(*) from topics`), "every name is another")
}

// Spec 4: every operation refuses invalid names, and reports all of them at once.
func TestMomentoNamesThatAreNone(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, text := range map[string]string{
		"%20":                               "must not be empty",
		"%20%09%0A%C2%A0":                   "must not be empty",
		strings.Repeat("a", 129):            "at most 128 characters",
		strings.Repeat("%C3%A9", 129):       "at most 128 characters",
		"%20" + strings.Repeat("a", 129):    "at most 128 characters",
		"%00":                               "control characters",
		"a%00b":                             "control characters",
		"a%0Ab":                             "control characters",
		"%7F":                               "control characters",
		"%C2%85b%C2%9F":                     "control characters",
		"%FF":                               "UTF-8",
		"a%C3":                              "UTF-8",
		"%ED%A0%80":                         "UTF-8",
		"%20" + strings.Repeat("b", 200):    "at most 128 characters",
		strings.Repeat("%F0%9F%98%80", 129): "at most 128 characters",
	} {
		for _, c := range []struct{ method, path, body string }{
			{"PUT", "/caches/{bad}/webhooks/{bad}", putBody},
			{"DELETE", "/caches/{bad}/webhooks/{bad}", ""},
			{"GET", "/caches/{bad}/webhooks/{bad}/secret", ""},
			{"POST", "/caches/{bad}/webhooks/{bad}/secret/rotate", ""},
			{"GET", "/caches/{bad}/webhooks/{bad}/deliveries", ""},
			{"GET", "/caches/{bad}/webhooks", ""},
			{"POST", "/topics/{bad}/{bad}", "text"},
			{"GET", "/topics/{bad}/{bad}", ""},
		} {
			p := f.do(t, c.method, strings.ReplaceAll(c.path, "{bad}", name), c.body, nil).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
			want := []string{"path.cacheName", "path.webhookName"}
			if strings.HasPrefix(c.path, "/topics") {
				want[1] = "path.topicName"
			}
			want = want[:strings.Count(c.path, "{bad}")]
			require.Len(t, p.Errors, len(want), "%s %s: %+v", c.method, c.path, p)
			for _, at := range want {
				require.Contains(t, p.at(t, at), text, "%s %s", c.method, c.path)
			}
		}
	}
	for _, path := range []string{"/caches//webhooks/a", "/caches//webhooks", "/topics//a", "/topics/a//", "/caches/a/webhooks//secret"} {
		require.Contains(t, f.get(t, path).problem(t, http.StatusNotFound, "NOT_FOUND").Detail, "empty segment", path)
	}
	f.get(t, "/topics/a/").problem(t, http.StatusNotFound, "NOT_FOUND")
	require.Zero(t, value[int](t, f, `select count(*) from webhooks`))
	require.Zero(t, value[int](t, f, `select count(*) from topics`))
}
