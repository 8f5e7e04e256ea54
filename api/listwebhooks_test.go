package api_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// ids returns the ids of a list's entries, in its order.
func ids(list []map[string]any) []string {
	out := make([]string, 0, len(list))
	for _, entry := range list {
		out = append(out, entry["id"].(string))
	}
	return out
}

// pages follows cursors through a list and returns all ids.
func (c *client) pages(t *testing.T, path, name string, limit, want int) []string {
	t.Helper()
	var all []string
	next := fmt.Sprintf("%s?limit=%d", path, limit)
	for range want/limit + 2 {
		page := c.get(t, next).object(t, http.StatusOK)
		entries := objects(t, page[name])
		all = append(all, ids(entries)...)
		cursor, more := page["next_cursor"].(string)
		if !more {
			require.Nil(t, page["next_cursor"])
			return all
		}
		require.Len(t, entries, limit, "a page that is not the last is full")
		next = fmt.Sprintf("%s?limit=%d&cursor=%s", path, limit, cursor)
	}
	t.Fatal("the pages do not end")
	return nil
}

// S2: newest first, 20 a page by default; cursors lead through the whole list.
func TestListWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	empty := f.get(t, "/v1/webhooks").object(t, http.StatusOK)
	require.Equal(t, map[string]any{"webhooks": []any{}, "next_cursor": nil}, empty)

	const n = 25
	want := make([]string, n)
	for i := range n {
		want[n-1-i] = f.newWebhook(t, "user.created")
	}
	require.Equal(t, want[:20], ids(f.get(t, "/v1/webhooks").list(t, "webhooks")))
	require.Equal(t, want, ids(f.get(t, "/v1/webhooks?limit=100").list(t, "webhooks")))
	for _, limit := range []int{1, 5, 7, 25} {
		require.Equal(t, want, f.pages(t, "/v1/webhooks", "webhooks", limit, n))
	}
	for _, w := range f.get(t, "/v1/webhooks").list(t, "webhooks") {
		require.NotContains(t, w, "secret")
	}

	// A page does not move when newer entries arrive or its last one goes.
	first := f.get(t, "/v1/webhooks?limit=3").object(t, http.StatusOK)
	f.newWebhook(t, "user.created")
	require.Equal(t, http.StatusNoContent, f.do(t, "DELETE", "/v1/webhooks/"+want[2], "", nil).status)
	second := f.get(t, "/v1/webhooks?limit=3&cursor="+first["next_cursor"].(string)).list(t, "webhooks")
	require.Equal(t, want[3:6], ids(second))
}

// S2: filters.
func TestListWebhooksFilters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	create := func(body string) string {
		return f.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)["id"].(string)
	}
	exact := create(`{"url":"https://a.example/","events":["user.created"]}`)
	prefix := create(`{"url":"https://a.example/","events":["user.*"],"active":false}`)
	every := create(`{"url":"https://a.example/","events":["*"]}`)
	other := create(`{"url":"https://a.example/","events":["file.uploaded"]}`)
	commenda := create(`{"url":"https://a.example/","events":["user.created"],"profile":"commenda"}`)
	for query, want := range map[string][]string{
		"":                                     {commenda, other, every, prefix, exact},
		"active=true":                          {commenda, other, every, exact},
		"active=false":                         {prefix},
		"event=user.created":                   {commenda, every, prefix, exact},
		"event=user.deleted":                   {every, prefix},
		"event=nothing":                        {every},
		"profile=commenda":                     {commenda},
		"profile=standard":                     {other, every, prefix, exact},
		"profile=momento":                      {},
		"event=user.created&active=true":       {commenda, every, exact},
		"profile=commenda&active=false":        {},
		"event=user.created&limit=100":         {commenda, every, prefix, exact},
		"active=true&profile=standard&limit=2": {other, every},
	} {
		require.Equal(t, want, ids(f.get(t, "/v1/webhooks?"+query).list(t, "webhooks")), query)
	}
}

// S2: an invalid cursor is 400, never the first page; a limit out of range is 422.
func TestListParameters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	f.newWebhook(t, "user.created")
	for range 2 {
		f.publish(t, "1")
		f.newKey(t, hook.DefaultTenant(), hook.ScopeRead)
	}
	lists := []string{"/v1/webhooks", "/v1/events", "/v1/webhooks/" + webhook + "/deliveries", "/v1/api-keys"}
	cursors := map[string]string{}
	for _, list := range lists {
		cursors[list] = f.get(t, list+"?limit=1").object(t, http.StatusOK)["next_cursor"].(string)
	}
	for _, list := range lists {
		require.Equal(t, http.StatusOK, f.get(t, list+"?cursor="+cursors[list]).status)
		bad := []string{"x", "null", "AA", cursors[list][1:], cursors[list] + "AA", "!" + cursors[list][1:], cursors[list] + "="}
		for other, cursor := range cursors {
			if other != list {
				bad = append(bad, cursor)
			}
		}
		for _, cursor := range bad {
			f.get(t, list+"?cursor="+cursor).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT").at(t, "query.cursor")
		}
		for _, limit := range []string{"0", "101", "-1", "x", "1.5"} {
			f.get(t, list+"?limit="+limit).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, "query.limit")
		}
		for _, limit := range []string{"1", "100"} {
			require.Equal(t, http.StatusOK, f.get(t, list+"?limit="+limit).status)
		}
		f.get(t, list+"?limits=1").refused(t, "query.limits", "unknown")
	}
	f.get(t, "/v1/webhooks?active=yes").refused(t, "query.active", "one of")
	f.get(t, "/v1/webhooks?profile=svix").refused(t, "query.profile", "one of")
	f.get(t, "/v1/webhooks/"+webhook+"/deliveries?status=done").refused(t, "query.status", "one of")
	f.get(t, "/v1/events?since=yesterday").refused(t, "query.since", "")
}
