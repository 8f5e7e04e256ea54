package api_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

// S2: an unreadable parameter is an error and never stands for the first page.
func TestQueriesThatWouldBeReadPast(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	for query, at := range map[string]string{
		"cursor=%zz":          "query",
		"limit=1&%":           "query",
		"cursor=":             "query.cursor",
		"limit=":              "query.limit",
		"limit=1&limit=2":     "query.limit",
		"active=&limit=1":     "query.active",
		"event=a&event=b":     "query.event",
		"profile=standard&a=": "query.a",
	} {
		t.Run(query, func(t *testing.T) {
			t.Parallel()
			require.NotEmpty(t, f.get(t, "/v1/webhooks?"+query).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT").at(t, at))
		})
	}
}

// Every spelling of JSON's media type is accepted, by every operation.
func TestContentTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for given, ok := range map[string]bool{
		"": false, "application/json": true, "APPLICATION/JSON": true, "application/json; charset=utf-8": true,
		"application/problem+json": false, "application/vnd.api+json": false, "application/json;;": false, "text/plain": false,
	} {
		t.Run(given, func(t *testing.T) {
			t.Parallel()
			for path, body := range map[string]string{
				"/v1/webhooks": `{"url":"https://example.com/","events":["user.created"]}`,
				"/v1/events":   `{"type":"user.created","data":1}`,
				"/v1/api-keys": `{"name":"a","scopes":["read"]}`,
			} {
				a := f.do(t, http.MethodPost, path, body, map[string]string{"Content-Type": given})
				if ok {
					require.Less(t, a.status, 300, "%s: %s", path, a.body)
				} else {
					a.problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
				}
			}
		})
	}
}

// 15.0 and 1e1 are the integers 15 and 10.
func TestIntegersInAnyNotation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.post(t, "/v1/webhooks", `{"url":"https://example.com/","events":["user.created"],"timeout_seconds":15.0,"rate_limit":1e1}`).
		object(t, http.StatusCreated)
	require.EqualValues(t, 15, w["timeout_seconds"])
	require.EqualValues(t, 10, w["rate_limit"])
	f.post(t, "/v1/webhooks", `{"url":"https://example.com/","events":["user.created"],"timeout_seconds":1.5}`).
		refused(t, "body.timeout_seconds", "integer")
}

// Spec 7: a key's list of topics holds for tests too, and can't be empty.
func TestTopicsOfAKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	files := f.newWebhook(t, "file.uploaded")
	key := f.post(t, "/v1/api-keys", `{"name":"a","scopes":["webhooks","publish"],"topics":["user.*"]}`).object(t, http.StatusCreated)
	limited := f.as(key["key"].(string))
	limited.post(t, "/v1/webhooks/"+files+"/test", "").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	for _, topics := range []string{`[]`, `["user*"]`, `["*.x"]`, `["a.*.b"]`} {
		f.post(t, "/v1/api-keys", `{"name":"a","scopes":["publish"],"topics":`+topics+`}`).
			problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	}
}

// A path with an empty segment does not stand for another path.
func TestEmptySegments(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(t, "/v1/webhooks//test", "").problem(t, http.StatusNotFound, "NOT_FOUND")
}

// Spec 6: a path that the mux would redirect is not found, in the format of all errors.
func TestDotSegments(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{"/caches/chat/webhooks/..", "/topics/../t", "/v1/./webhooks", "/v1/webhooks/.", "/../v1/webhooks"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.server.URL+path, nil)
		require.NoError(t, err)
		response, err := f.server.Client().Do(r)
		require.NoError(t, err)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusNotFound, response.StatusCode, path)
		require.Equal(t, "application/problem+json", response.Header.Get("Content-Type"))
		require.Contains(t, string(body), "dot segment", path)
	}
}

// A compressed body is refused, because it would be taken for another one.
func TestContentEncoding(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for _, path := range []string{"/v1/webhooks", "/v1/events", "/topics/chat/room", "/webhooks"} {
		f.do(t, http.MethodPost, path, "{}", map[string]string{"Content-Encoding": "gzip"}).
			problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
	}
	a := f.do(t, http.MethodPost, "/topics/chat/room", "x", map[string]string{"Content-Encoding": "identity", "Content-Type": "text/plain"})
	require.Equal(t, http.StatusNoContent, a.status)
}
