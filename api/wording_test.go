package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

// Messages are for clients that know neither Go nor Huma.
func TestWordsAboutTimes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newWebhook(t, "user.created")
	commenda := f.newCommendaWebhook(t, "A")
	f.put(t, "chat", "translator", "mo-nuts")
	const text = "must be a time in RFC 3339, like 2026-01-15T12:00:00Z"
	for _, path := range []string{
		"/v1/events", "/v1/webhooks/" + id + "/deliveries", "/webhooks/" + commenda + "/deliveries", named("chat", "translator") + "/deliveries",
	} {
		for _, bad := range []string{"yesterday", "2026-01-15", "2026-01-15T12:00:00+02:00", "2026-01-15T12:00:00", "1768478400", "2026-02-30T00:00:00Z"} {
			p := f.get(t, path+"?since="+bad).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
			require.Equal(t, text+"; write + as %2B", p.at(t, "query.since"), bad)
		}
		require.Equal(t, http.StatusOK, f.get(t, path+"?since=2026-01-15T12:00:00%2B02:00").status)

		const later, earlier = "2026-01-16T00:00:00Z", "2026-01-15T00:00:00Z"
		f.get(t, path+"?since="+later+"&until="+earlier).refused(t, "query.since", "must not be after until")
		require.Equal(t, http.StatusOK, f.get(t, path+"?since="+earlier+"&until="+later).status)
		require.Equal(t, http.StatusOK, f.get(t, path+"?since="+later+"&until="+later).status, "an empty time is no mistake")
		require.Equal(t, http.StatusOK, f.get(t, path+"?since=2999-01-01T00:00:00Z").status)
	}
	for _, bad := range []string{"yesterday", "2026-01-15", "2026-01-15T1:00:00Z", "2026-01-15T12:00:00,5Z", "2026-01-15t12:00:00z"} {
		a := f.post(t, "/v1/webhooks/"+id+"/replay", `{"since":"`+bad+`","status":"failed"}`)
		p := a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Equal(t, text, p.Errors[0].Message, bad)
		require.NotContains(t, string(a.body), "2006")
	}
	for body, want := range map[string]string{
		`{"since":"2026-01-16T00:00:00Z","until":"2026-01-15T00:00:00Z","status":"failed"}`: "before until",
		`{"since":"2999-01-01T00:00:00Z","status":"failed"}`:                                "in the past",
	} {
		f.post(t, "/v1/webhooks/"+id+"/replay", body).refused(t, "body.since", want)
	}
}

// An unknown parameter is reported with its value, unless the value may be secret.
func TestWordsAboutUnknownParameters(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for query, value := range map[string]any{
		"limits=1": "1", "statuz=a%26b": "a&b", "a.b=%C3%A9": "é", "x=" + strings.Repeat("x", 201): nil,
		"authorization=gk_geheim": nil, "secrets=geheim": nil, "token=geheim": nil, "x=whsec_geheim": nil,
	} {
		a := f.get(t, "/v1/webhooks?"+query)
		p := a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		name, _, _ := strings.Cut(query, "=")
		require.Equal(t, "unknown query parameter", p.at(t, "query."+name))
		require.Equal(t, value, p.Errors[0].Value, query)
		require.NotContains(t, string(a.body), "geheim")
	}
}

// The message about a size says what the limit is, and which setting changes it or that none does.
func TestWordsAboutSizes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	detail := func(path, body string) string {
		return f.post(t, path, body).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE").Detail
	}
	fixed := func(n string) string {
		return "the request body is too large: " + n + " bytes are the most that this operation reads, and no setting changes that"
	}
	require.Equal(t, fixed("65535"), detail("/v1/webhooks", `{"url":"`+strings.Repeat("a", 64<<10)+`"}`))
	require.Equal(t, fixed("65536"), detail("/topics/chat/mo-nuts", strings.Repeat("a", 64<<10+1)))
	for path, member := range map[string]string{"/v1/events": "type", "/events": "topic"} {
		require.Regexp(t, `^the largest body to deliver would be \d+ bytes, more than the 102400 that --max-body \(GRAPNEL_MAX_BODY\) lets`,
			detail(path, `{"`+member+`":"user.created","data":"`+strings.Repeat("a", 102_400)+`"}`))
	}
}

// A conflict names the existing resource.
func TestWordsAboutConflicts(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(t, "/v1/tenants", `{"name":"twice","external_id":"twice"}`).object(t, http.StatusCreated)
	p := f.post(t, "/v1/tenants", `{"name":"twice","external_id":"twice"}`).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	require.Equal(t, "a tenant with this external_id already exists", p.Detail)
}

// The message about a member of another type says which types it may have.
func TestWordsAboutTypes(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"description":7}`, nil).refused(t, "body.description", "expected string")
	f.post(t, "/webhooks", `{"url":"https://yourapp.com/webhook","topics":"A"}`).refused(t, "body.topics", "expected array")
}
