package api_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/secrets"
	"grapnel/storage"
)

// seedBody is the generic seed's request, verbatim.
const seedBody = `{
  "url": "https://yourapp.com/webhook",
  "events": [
    "user.created",
    "user.updated",
    "project.created"
  ],
  "secret": "whsec_abc123...",
  "active": true
}`

// S1: the seed's body gives the seed's answer.
func TestCreateWebhookAsInTheSeed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.post(t, "/v1/webhooks", seedBody)
	w := a.object(t, http.StatusCreated)
	require.Regexp(t, `^hook_[0-7][0-9a-hjkmnp-tv-z]{25}$`, w["id"])
	require.Equal(t, "https://yourapp.com/webhook", w["url"])
	require.Equal(t, []any{"user.created", "user.updated", "project.created"}, w["events"])
	require.Equal(t, "whsec_abc123...", w["secret"])
	require.Equal(t, true, w["active"])
	created := moment(t, w["created_at"])
	require.Equal(t, created, moment(t, w["updated_at"]))
	// Beyond the seed: what holds where nothing was said.
	require.Equal(t, "standard", w["profile"])
	require.Equal(t, "healthy", w["status"])
	require.EqualValues(t, 15, w["timeout_seconds"])
	require.EqualValues(t, 5, w["max_attempts"])
	for _, absent := range []string{"$schema", "description", "headers", "rate_limit", "status_reason"} {
		require.NotContains(t, w, absent)
	}
	require.Empty(t, a.header.Values("Link"))
}

// S1: secret and active are optional, repeated events count once.
func TestCreateWebhookDefaults(t *testing.T) {
	t.Parallel()
	f := setup(t)
	body := `{"url":"http://yourapp.com:8080/webhook?a=1","events":["user.updated","user.created","user.updated"]}`
	first := f.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)
	second := f.post(t, "/v1/webhooks", body).object(t, http.StatusCreated)
	require.Equal(t, true, first["active"])
	require.Equal(t, []any{"user.updated", "user.created"}, first["events"])
	require.Regexp(t, `^whsec_[A-Za-z0-9+/]{43}=$`, first["secret"])
	require.NotEqual(t, first["secret"], second["secret"])
	require.NotEqual(t, first["id"], second["id"])
}

// S1, beyond the seed.
func TestCreateWebhookWithEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.*","*","payment.failed"],"active":false,
		"description":"Billing system é😀","headers":{"X-Tenant":"acme","Authorization":"Basic c2VjcmV0"},"timeout_seconds":30,
		"rate_limit":10,"max_attempts":1,"profile":"standard","secret":"a secret"}`).object(t, http.StatusCreated)
	require.Equal(t, []any{"user.*", "*", "payment.failed"}, w["events"])
	require.Equal(t, false, w["active"])
	require.Equal(t, "disabled", w["status"])
	require.Equal(t, hook.ReasonByClient, w["status_reason"])
	require.Equal(t, "Billing system é😀", w["description"])
	require.Equal(t, map[string]any{"X-Tenant": "***", "Authorization": "***"}, w["headers"], "header values may be credentials")
	require.EqualValues(t, 30, w["timeout_seconds"])
	require.EqualValues(t, 10, w["rate_limit"])
	require.EqualValues(t, 1, w["max_attempts"])
	require.Equal(t, "a secret", w["secret"])

	// Commenda's topics are free-form and its timeout is 10 s.
	w = f.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["Invoice Paid!"],"profile":"commenda"}`).object(t, http.StatusCreated)
	require.Equal(t, "commenda", w["profile"])
	require.EqualValues(t, 10, w["timeout_seconds"])
}

// S1 and 6: every wrong value is named by its place.
func TestCreateWebhookRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "http://169.254.169.254/latest"
	with := func(member string) string {
		return `{"url":"https://yourapp.com/webhook","events":["user.created"],` + member + `}`
	}
	url := func(u string) string { return `{"url":"` + u + `","events":["user.created"]}` }
	events := func(e string) string { return `{"url":"https://yourapp.com/webhook","events":` + e + `}` }
	for name, c := range map[string]struct{ body, location, text string }{
		"url missing":               {`{"events":["user.created"]}`, "body", "url"},
		"url empty":                 {url(""), "body.url", "must not be empty"},
		"url relative":              {url("/webhook"), "body.url", "absolute http or https"},
		"url without scheme":        {url("yourapp.com/webhook"), "body.url", "absolute http or https"},
		"url of ftp":                {url("ftp://yourapp.com/webhook"), "body.url", "absolute http or https"},
		"url without host":          {url("https:///webhook"), "body.url", "host"},
		"url with user":             {url("https://user:pass@yourapp.com/"), "body.url", "user name"},
		"url with fragment":         {url("https://yourapp.com/#x"), "body.url", "fragment"},
		"url with port 0":           {url("https://yourapp.com:0/"), "body.url", "port"},
		"url with port 65536":       {url("https://yourapp.com:65536/"), "body.url", "port"},
		"url with a space":          {url("https://yourapp.com/a b"), "body.url", "not a valid URL"},
		"url with a line break":     {url(`https://yourapp.com/\n`), "body.url", "not a valid URL"},
		"url too long":              {url("https://yourapp.com/" + strings.Repeat("a", 2029)), "body.url", "2048"},
		"url blocked":               {url("http://169.254.169.254/latest"), "body.url", "not an allowed destination"},
		"url of another type":       {`{"url":1,"events":["user.created"]}`, "body.url", "expected string"},
		"url null":                  {`{"url":null,"events":["user.created"]}`, "body.url", "expected string"},
		"events missing":            {`{"url":"https://yourapp.com/webhook"}`, "body", "events"},
		"events empty":              {events(`[]`), "body.events", "1"},
		"events null":               {events(`null`), "body.events", "expected array"},
		"events of another type":    {events(`"user.created"`), "body.events", "expected array"},
		"event of another type":     {events(`["user.created",1]`), "body.events[1]", "expected string"},
		"event unknown":             {events(`["user.created","user.create"]`), "body.events[1]", "did you mean user.created?"},
		"event unknown, far":        {events(`["payment.success"]`), "body.events[0]", "did you mean payment.succeeded?"},
		"event empty":               {events(`[""]`), "body.events[0]", "must not be empty"},
		"event with bad characters": {events(`["user created"]`), "body.events[0]", "letters, digits"},
		"pattern in the middle":     {events(`["user.*.done"]`), "body.events[0]", "stands alone"},
		"pattern within a part":     {events(`["user.cre*"]`), "body.events[0]", "stands alone"},
		"pattern without a prefix":  {events(`[".*"]`), "body.events[0]", "stands alone"},
		"too many events":           {events(`["*"` + strings.Repeat(`,"*"`, 100) + `]`), "body.events", "100"},
		"secret empty":              {with(`"secret":""`), "body.secret", "8"},
		"secret too short":          {with(`"secret":"1234567"`), "body.secret", "8"},
		"secret with a space":       {with(`"secret":"12345678 "`), "body.secret", "spaces at its ends"},
		"secret too long":           {with(`"secret":"` + strings.Repeat("a", 257) + `"`), "body.secret", "256"},
		"secret with controls":      {with(`"secret":"aaaaaaaa\u0000b"`), "body.secret", "control characters"},
		"secret of another type":    {with(`"secret":7`), "body.secret", "expected string"},
		"active of another type":    {with(`"active":"yes"`), "body.active", "expected boolean"},
		"header of the signature":   {with(`"headers":{"x-webhook-signature":"a"}`), "body.headers.x-webhook-signature", "set by Grapnel"},
		"header of the content":     {with(`"headers":{"Content-Type":"text/plain"}`), "body.headers.Content-Type", "set by Grapnel"},
		"hop-by-hop header":         {with(`"headers":{"Connection":"close"}`), "body.headers.Connection", "set by Grapnel"},
		"header name with a colon":  {with(`"headers":{"a:b":"c"}`), "body.headers.a:b", "not a header name"},
		"header value with a break": {with(`"headers":{"X-A":"a\r\nX-B: b"}`), "body.headers.X-A", "printable ASCII"},
		"header value null":         {with(`"headers":{"X-A":null}`), "body.headers.X-A", "expected string"},
		"header twice":              {with(`"headers":{"X-A":"1","x-a":"2"}`), "body.headers.x-a", "twice"},
		"timeout 0":                 {with(`"timeout_seconds":0`), "body.timeout_seconds", "1"},
		"timeout 31":                {with(`"timeout_seconds":31`), "body.timeout_seconds", "30"},
		"timeout of a half":         {with(`"timeout_seconds":1.5`), "body.timeout_seconds", "expected integer"},
		"rate limit negative":       {with(`"rate_limit":-1`), "body.rate_limit", "0"},
		"rate limit too high":       {with(`"rate_limit":10001`), "body.rate_limit", "10000"},
		"max attempts 0":            {with(`"max_attempts":0`), "body.max_attempts", "1"},
		"max attempts 6":            {with(`"max_attempts":6`), "body.max_attempts", "5"},
		"profile unknown":           {with(`"profile":"svix"`), "body.profile", "one of"},
		"profile of a cache":        {with(`"profile":"momento"`), "body.profile", "belong to a cache"},
		"description too long":      {with(`"description":"` + strings.Repeat("é", 1001) + `"`), "body.description", "1000"},
		"description with controls": {with(`"description":"a\u001b[2Jb"`), "body.description", "control characters"},
		"unknown member":            {with(`"event":"user.created"`), "body.event", "unexpected property"},
		"member of another case":    {with(`"Active":false`), "body.Active", "unexpected property"},
		"url of another case":       {`{"URL":"https://yourapp.com/webhook","events":["user.created"]}`, "body.URL", "unexpected property"},
		"an array":                  {`[]`, "body", "expected object"},
		"null":                      {`null`, "body", "expected object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.post(t, "/v1/webhooks", c.body).refused(t, c.location, c.text)
		})
	}
	t.Cleanup(func() { require.Empty(t, f.dispatched.events()) })
}

// All that is wrong is reported at once, and no secret comes back.
func TestCreateWebhookReportsEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.post(t, "/v1/webhooks", `{"url":"ftp://x","events":["user created"],"secret":"hush\u0007hush","headers":{"Host":"hush"},"description":"\u0001"}`)
	p := a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	for _, location := range []string{"body.url", "body.events[0]", "body.secret", "body.headers.Host", "body.description"} {
		p.at(t, location)
	}
	require.Len(t, p.Errors, 5)
	require.NotContains(t, string(a.body), "hush")
	for _, body := range []string{
		`{"url":"https://a.example/","events":["*"],"secret":["hush"]}`, `{"url":"https://a.example/","events":["*"],"secret":"` + strings.Repeat("hush", 100) + `"}`,
		`{"url":"https://a.example/","events":["*"],"headers":{"X-A":["hush"]}}`, `{"secret":"hush hush"}`,
		`{"url":"https://a.example/","events":["*"],"secret":47114711}`, `{"url":"https://a.example/","events":["*"],"headers":{"X-A":47114711}}`,
	} {
		a := f.post(t, "/v1/webhooks", body)
		a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.NotContains(t, string(a.body), "hush")
		require.NotContains(t, string(a.body), "4711")
	}
	require.Empty(t, f.get(t, "/v1/webhooks").list(t, "webhooks"), "nothing that fails leaves half of itself behind")
	require.NotContains(t, f.log.String(), "hush")
}

// 6: what is no request at all.
func TestCreateWebhookMalformed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for name, c := range map[string]struct {
		body, contentType string
		status            int
		code              string
	}{
		"no JSON":               {`{"url":`, "application/json", 400, "INVALID_ARGUMENT"},
		"more after the object": {seedBody + "x", "application/json", 400, "INVALID_ARGUMENT"},
		"empty":                 {"", "application/json", 400, "INVALID_ARGUMENT"},
		"invalid UTF-8":         {"{\"url\":\"https://a.example/\xff\",\"events\":[\"*\"]}", "application/json", 400, "INVALID_ARGUMENT"},
		"member twice":          {`{"url":"https://a.example/","url":"https://b.example/","events":["*"]}`, "application/json", 400, "INVALID_ARGUMENT"},
		"a form":                {seedBody, "application/x-www-form-urlencoded", 415, "INVALID_ARGUMENT"},
		"plain text":            {seedBody, "text/plain", 415, "INVALID_ARGUMENT"},
		"too large":             {`{"url":"` + strings.Repeat("a", 64<<10) + `"}`, "application/json", 413, "PAYLOAD_TOO_LARGE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := f.do(t, http.MethodPost, "/v1/webhooks", c.body, map[string]string{"Content-Type": c.contentType})
			a.problem(t, c.status, c.code)
			require.NotContains(t, string(a.body), "struct", "no Go types")
		})
	}
	t.Run("with a charset", func(t *testing.T) {
		t.Parallel()
		a := f.do(t, http.MethodPost, "/v1/webhooks", seedBody, map[string]string{"Content-Type": "application/json; charset=utf-8"})
		require.Equal(t, http.StatusCreated, a.status)
	})
	t.Run("without a content type", func(t *testing.T) {
		t.Parallel()
		p := f.do(t, http.MethodPost, "/v1/webhooks", seedBody, map[string]string{"Content-Type": ""}).problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
		require.Contains(t, p.Detail, "Content-Type: application/json")
	})
	t.Run("as curl does by default", func(t *testing.T) {
		t.Parallel()
		p := f.do(t, http.MethodPost, "/v1/webhooks", seedBody, map[string]string{"Content-Type": "application/x-www-form-urlencoded"}).
			problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
		require.Contains(t, p.Detail, "curl -d")
	})
}

// ids are the ids of a list's entries, in its order.
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

// S2: newest first, 20 a page unless told otherwise, cursors lead through all.
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

// S2: a bad cursor is 400, never page one; a limit out of range is 422.
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

// S3: status and its reason.
func TestGetWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	path := "/v1/webhooks/" + id
	w := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, id, w["id"])
	require.Equal(t, "healthy", w["status"])
	require.NotContains(t, w, "status_reason")
	require.NotContains(t, w, "secret")
	moment(t, w["updated_at"])

	status := func() []any {
		w := f.get(t, path).object(t, http.StatusOK)
		return []any{w["status"], w["status_reason"], w["active"]}
	}
	delivery := f.deliver(t, id, failure(500))
	require.Equal(t, []any{"failing", nil, true}, status())
	for range 4 {
		f.again(t, delivery, failure(500))
	}
	require.Equal(t, []any{"failed", hook.ReasonFailedFinal, true}, status(), "S14: active stays true")
	f.deliver(t, id, success())
	require.Equal(t, []any{"healthy", nil, true}, status(), "S14: a success makes it healthy")
	f.deliver(t, id, failure(410))
	require.Equal(t, []any{"disabled", "gone", false}, status(), "9: 410 disables")

	// S4: active again it is healthy, is sent to, and has its five days again.
	for _, reason := range []string{"gone", "failing for 5 days"} {
		f.exec(t, `update webhooks set active = false, disabled_reason = $1, health = 'failed', failing_since = now() - interval '6 days'`, reason)
		require.Equal(t, []any{"disabled", reason, false}, status())
		f.do(t, http.MethodPatch, path, `{"description":"the same"}`, nil).object(t, http.StatusOK)
		require.Equal(t, []any{"disabled", reason, false}, status(), "another change wakes nobody")
		f.do(t, http.MethodPatch, path, `{"active":true}`, nil).object(t, http.StatusOK)
		require.Equal(t, []any{"healthy", nil, true}, status())
		f.deliver(t, id, failure(500))
		require.Equal(t, []any{"failing", nil, true}, status())
	}
}

// S4: each field by itself, the rest stays.
func TestUpdateWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
	before := f.get(t, path).object(t, http.StatusOK)
	delete(before, "updated_at")
	for _, c := range []struct {
		body, member string
		want         any
	}{
		{`{}`, "active", true},
		{`{"url":"https://other.example/hook"}`, "url", "https://other.example/hook"},
		{`{"events":["user.deleted","project.*","user.deleted"]}`, "events", []any{"user.deleted", "project.*"}},
		{`{"description":"new"}`, "description", "new"},
		{`{"description":""}`, "description", nil},
		{`{"headers":{"X-A":"1"}}`, "headers", map[string]any{"X-A": "***"}},
		{`{"headers":{}}`, "headers", nil},
		{`{"timeout_seconds":1}`, "timeout_seconds", 1.0},
		{`{"rate_limit":7}`, "rate_limit", 7.0},
		{`{"rate_limit":0}`, "rate_limit", nil},
		{`{"max_attempts":2}`, "max_attempts", 2.0},
	} {
		after := f.do(t, http.MethodPatch, path, c.body, nil).object(t, http.StatusOK)
		require.Equal(t, after, f.get(t, path).object(t, http.StatusOK), c.body)
		require.Equal(t, c.want, after[c.member], c.body)
		moment(t, after["updated_at"])
		delete(after, "updated_at")
		if before[c.member] = c.want; c.want == nil {
			delete(before, c.member)
		}
		require.Equal(t, before, after, "%s changes nothing else", c.body)
	}

	answer := f.do(t, http.MethodPatch, path, `{"secret":"new secret"}`, nil)
	require.NotContains(t, answer.object(t, http.StatusOK), "secret")
	require.Equal(t, "new secret", f.get(t, path+"/secret").object(t, http.StatusOK)["secret"])
}

// S4 and S15: deactivating cancels what is pending, visibly; new events make no
// delivery; activating begins anew.
func TestDeactivateWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, id)
	w := f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":false}`, nil).object(t, http.StatusOK)
	require.Equal(t, "disabled", w["status"])
	require.Equal(t, hook.ReasonByClient, w["status_reason"])
	d := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
	require.Equal(t, "canceled", d["status"])
	require.Equal(t, "Webhook disabled", d["error"])
	require.NotContains(t, d, "next_attempt_at")
	require.EqualValues(t, 0, f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])

	w = f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":true}`, nil).object(t, http.StatusOK)
	require.Equal(t, "healthy", w["status"])
	require.NotContains(t, w, "status_reason")
	require.Equal(t, "canceled", f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)["status"])
	require.EqualValues(t, 1, f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])
}

// S4 and 6: nothing changes when one value is bad.
func TestUpdateWebhookRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "http://10.0.0.1/"
	path := "/v1/webhooks/" + f.newWebhook(t, "user.created")
	before, secret := f.get(t, path).body, f.get(t, path+"/secret").body
	for body, location := range map[string]string{
		`"url":"ftp://x"`:            "body.url",
		`"url":"http://10.0.0.1/"`:   "body.url",
		`"events":[]`:                "body.events",
		`"events":["user.create"]`:   "body.events[0]",
		`"secret":""`:                "body.secret",
		`"timeout_seconds":31`:       "body.timeout_seconds",
		`"rate_limit":-1`:            "body.rate_limit",
		`"max_attempts":0`:           "body.max_attempts",
		`"headers":{"Host":"x"}`:     "body.headers.Host",
		`"profile":"commenda"`:       "body.profile",
		`"id":"hook_1"`:              "body.id",
		`"status":"healthy"`:         "body.status",
		`"active":"no"`:              "body.active",
		`"Description":"other case"`: "body.Description",
	} {
		all := `{"description":"changed",` + body + `}`
		f.do(t, http.MethodPatch, path, all, nil).refused(t, location, "")
		require.JSONEq(t, string(before), string(f.get(t, path).body), all)
	}
	require.JSONEq(t, string(secret), string(f.get(t, path+"/secret").body))
	f.do(t, http.MethodPatch, path, "", nil).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
}

// S5: gone, its secret too, and what was pending is canceled.
func TestDeleteWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	path := "/v1/webhooks/" + id
	delivery := f.deliver(t, id)
	a := f.do(t, http.MethodDelete, path, "", nil)
	require.Equal(t, http.StatusNoContent, a.status)
	require.Empty(t, a.body)
	require.Empty(t, a.header.Get("Content-Type"))
	for _, c := range []struct{ method, path string }{
		{"GET", path}, {"DELETE", path}, {"GET", path + "/secret"}, {"POST", path + "/test"},
	} {
		f.do(t, c.method, c.path, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	require.Empty(t, f.get(t, "/v1/webhooks").list(t, "webhooks"))
	d := f.get(t, "/v1/deliveries/"+delivery).object(t, http.StatusOK)
	require.Equal(t, "canceled", d["status"])
	require.Equal(t, "Webhook deleted", d["error"])
	require.EqualValues(t, 0, f.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, 202)["deliveries"])
}

// Nothing that is done within UpdateWebhook's transaction takes a connection: with
// one connection in all, it would wait for itself.
func TestUpdateWebhookTakesOneConnection(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil)
	webhook := f.newWebhook(t, "user.created")
	u, err := url.Parse(f.db.Config().ConnString())
	require.NoError(t, err)
	query := u.Query()
	query.Set("pool_max_conns", "1")
	u.RawQuery = query.Encode()
	box, err := secrets.New(base64.StdEncoding.EncodeToString(make([]byte, secrets.KeySize)))
	require.NoError(t, err)
	store, err := storage.Open(t.Context(), storage.Config{URL: u.String(), Box: box})
	require.NoError(t, err)
	t.Cleanup(store.Close)
	c, _ := serve(t, api.Deps{
		Store: store, Dispatcher: f.dispatched, Sender: f.sender, Destinations: f.blocked, Topics: f.topics, Logger: slog.New(slog.DiscardHandler),
		Config: api.Config{Timeout: 5 * time.Second},
	})
	c.key = f.key
	c.server.Client().Timeout = 10 * time.Second
	c.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"events":["invoice.paid"]}`, nil).object(t, http.StatusOK)
	c.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"events":["invoice.payd"]}`, nil).refused(t, "body.events[0]", "did you mean invoice.paid?")
}

// What only the catalogue and the destinations know is reported with the rest.
func TestWebhookProblemsOfEveryKindAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "http://169.254.169.254/"
	id := f.newWebhook(t, "user.created")
	const body = `{"url":"http://169.254.169.254/","events":["user.create","user created"],"secret":"aaaaaaaa\u0007","description":"\u0007"}`
	for _, a := range []answer{f.post(t, "/v1/webhooks", body), f.do(t, http.MethodPatch, "/v1/webhooks/"+id, body, nil)} {
		p := a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Len(t, p.Errors, 5, "%s", a.body)
		require.Contains(t, p.at(t, "body.url"), "not an allowed destination")
		require.Contains(t, p.at(t, "body.events[0]"), "did you mean user.created?")
		require.Contains(t, p.at(t, "body.events[1]"), "letters, digits")
		p.at(t, "body.secret")
		p.at(t, "body.description")
	}
}

// S4: what the operator has come to forbid keeps no webhook from being disabled or
// renamed; only another URL is held against the rules.
func TestUpdateWebhookWithAURLThatIsForbiddenNow(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	f.blocked.url = "https://yourapp.com/webhook"
	path := "/v1/webhooks/" + webhook
	f.do(t, http.MethodPatch, path, `{"description":"x","url":"https://yourapp.com/webhook"}`, nil).object(t, http.StatusOK)
	require.Equal(t, false, f.do(t, http.MethodPatch, path, `{"active":false}`, nil).object(t, http.StatusOK)["active"])
	f.do(t, http.MethodPatch, path, `{"url":"https://elsewhere.example/"}`, nil).object(t, http.StatusOK)
	f.do(t, http.MethodPatch, path, `{"url":"https://yourapp.com/webhook"}`, nil).refused(t, "body.url", "not an allowed destination")
}

// Spec 6: what is wrong is named where it was given, repetitions or not.
func TestWebhookEventsAreNamedWhereTheyWereGiven(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	body := `{"url":"https://yourapp.com/webhook","events":["user.created","user.created","x y","user.payd","x y"]}`
	for _, a := range []answer{f.post(t, "/v1/webhooks", body), f.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, body, nil)} {
		a.refused(t, "body.events[2]", "letters, digits")
		a.refused(t, "body.events[3]", "not a known event type")
	}
}

// Spec 8: one name for a host, which people see as well.
func TestWebhookURLIsShownAsRequested(t *testing.T) {
	t.Parallel()
	f := setup(t)
	created := f.post(t, "/v1/webhooks", `{"url":"https://MÜNCHEN.test/a","events":["user.created"]}`).object(t, http.StatusCreated)
	require.Equal(t, "https://xn--mnchen-3ya.test/a", created["url"])
	changed := f.do(t, http.MethodPatch, "/v1/webhooks/"+created["id"].(string), `{"url":"https://MÜNCHEN.test/b"}`, nil).object(t, http.StatusOK)
	require.Equal(t, "https://xn--mnchen-3ya.test/b", changed["url"])
}
