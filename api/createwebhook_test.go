package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// seedBody is the example request of the published generic system, verbatim.
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

// S1: the example request has the documented answer.
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
	// Not in the example: the defaults.
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

// S1: all members, also those that Grapnel adds.
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

// S1, spec 6: every wrong value is reported with its location.
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

// All mistakes are reported at once, and the answer never has the secret.
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

// Spec 6: malformed requests.
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

// Mistakes that only the catalogue or the destinations can find are reported with the others.
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

// Spec 6: a mistake is reported at the place where the client gave the value, also with repetitions.
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

// Spec 8: a host is shown in one form, the one in which it is requested.
func TestWebhookURLIsShownAsRequested(t *testing.T) {
	t.Parallel()
	f := setup(t)
	created := f.post(t, "/v1/webhooks", `{"url":"https://MÜNCHEN.test/a","events":["user.created"]}`).object(t, http.StatusCreated)
	require.Equal(t, "https://xn--mnchen-3ya.test/a", created["url"])
	changed := f.do(t, http.MethodPatch, "/v1/webhooks/"+created["id"].(string), `{"url":"https://MÜNCHEN.test/b"}`, nil).object(t, http.StatusOK)
	require.Equal(t, "https://xn--mnchen-3ya.test/b", changed["url"])
}
