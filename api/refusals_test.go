package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
	"grapnel/internal/syncbuf"
)

// refusedLine is the line in the log about a refused publish.
type refusedLine struct {
	Msg, Operation string
	StatusCode     int `json:"status_code"`
	Codes, Places  []string
	TenantID       string `json:"tenant_id"`
	KeyID          string `json:"key_id"`
	Events         int
	Omitted        int `json:"omitted_lines"`
}

// logging returns a fixture whose log can be read.
func logging(t *testing.T, change ...func(*api.Deps)) *fixture {
	t.Helper()
	log := &syncbuf.Buffer{}
	f := setup(t, append(change, func(d *api.Deps) { d.Logger = slog.New(slog.NewJSONHandler(log, nil)) })...)
	f.log = log
	return f
}

// refusedLines returns the lines about refused publishes in the log.
func (f *fixture) refusedLines(t *testing.T) (lines []refusedLine) {
	t.Helper()
	for line := range bytes.Lines([]byte(f.log.String())) {
		var l refusedLine
		require.NoError(t, json.Unmarshal(line, &l))
		if l.Msg == "publish refused" {
			lines = append(lines, l)
		}
	}
	return lines
}

// A refused publish is logged in one line: the key, the tenant, the code and the locations of the errors, but none of
// the published data and no key's text.
func TestRefusedPublishesAreLogged(t *testing.T) {
	t.Parallel()
	f := logging(t)
	tenant, text := f.newTenant(t)
	c := f.as(text)
	keyID := hook.KeyID(value[[16]byte](t, f, `select id from api_keys where tenant_id = $1`, tenant[:])).String()
	limited := c.post(t, "/v1/api-keys", `{"name":"k","scopes":["publish"],"topics":["user.*"]}`).object(t, http.StatusCreated)
	c.do(t, http.MethodPut, "/v1/event-types/invoice.paid", `{"schema":{"properties":{"total":{"type":"integer"}}}}`, nil).object(t, http.StatusCreated)
	c.post(t, "/v1/events", `{"type":"user.created","data":1,"id":"one"}`).object(t, http.StatusAccepted)
	plain := map[string]string{"Content-Type": "text/plain"}
	for name, r := range map[string]struct {
		send      func() answer
		operation string
		status    int
		code      string
		places    []string
		key       string
	}{
		"unknown type": {func() answer { return c.post(t, "/v1/events", `{"type":"user.create","data":"geheim"}`) }, "publish-event", 422, "INVALID_ARGUMENT", []string{"body.type"}, keyID},
		"schema":       {func() answer { return c.post(t, "/v1/events", `{"type":"invoice.paid","data":{"total":"geheim"}}`) }, "publish-event", 422, "INVALID_ARGUMENT", []string{"body/data/total"}, keyID},
		"conflict":     {func() answer { return c.post(t, "/v1/events", `{"type":"user.created","data":"geheim","id":"one"}`) }, "publish-event", 409, "ALREADY_EXISTS", nil, keyID},
		"no JSON":      {func() answer { return c.post(t, "/v1/events", `{"type":"user.created","data":geheim}`) }, "publish-event", 400, "INVALID_ARGUMENT", []string{"body/data"}, keyID},
		"key is limited": {func() answer {
			return f.as(limited["key"].(string)).post(t, "/v1/events", `{"type":"payment.failed","data":"geheim"}`)
		}, "publish-event", 403, "PERMISSION_DENIED", nil, limited["id"].(string)},
		"header too long": {func() answer {
			return c.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":"geheim"}`, keyed(strings.Repeat("x", 600)))
		}, "publish-event", 422, "INVALID_ARGUMENT", []string{"header.Idempotency-Key"}, keyID},
		"body too large": {func() answer {
			return c.post(t, "/v1/events", `{"type":"user.created","data":"geheim`+strings.Repeat(" ", 3<<20)+`"}`)
		}, "publish-event", 413, "PAYLOAD_TOO_LARGE", []string{"body"}, keyID},
		"unknown key": {func() answer {
			return f.as("gk_geheim").post(t, "/v1/events", `{"type":"user.created","data":"geheim"}`)
		}, "publish-event", 401, "UNAUTHENTICATED", nil, ""},
		"commenda":         {func() answer { return c.post(t, "/events", `{"topic":" geheim","data":1}`) }, "publish-commenda-event", 422, "INVALID_ARGUMENT", []string{"body.topic"}, keyID},
		"momento":          {func() answer { return c.do(t, http.MethodPost, topicPath("chat", "t"), "geheim\xff", plain) }, "publish-topic-message", 422, "INVALID_ARGUMENT", []string{"body"}, keyID},
		"a batch as whole": {func() answer { return c.post(t, "/v1/events/batch", `{"events":"geheim"}`) }, "publish-events", 422, "INVALID_ARGUMENT", []string{"body.events"}, keyID},
	} {
		before := len(f.refusedLines(t))
		require.Equal(t, r.status, r.send().status, name)
		lines := f.refusedLines(t)[before:]
		require.Len(t, lines, 1, name)
		want := refusedLine{Msg: "publish refused", Operation: r.operation, StatusCode: r.status, Codes: []string{r.code}, Places: r.places, KeyID: r.key}
		if r.key != "" {
			want.TenantID = tenant.String()
		}
		require.Equal(t, want, lines[0], name)
	}
	before := len(f.refusedLines(t))
	c.batch(t, `{"type":"user.create","data":"geheim"}`, `{"type":"user.created","data":1}`, `{"type":"user.created","data":"geheim","id":"one"}`, `{"type":"user.created","data":1,"geheim":1}`)
	lines := f.refusedLines(t)[before:]
	require.Len(t, lines, 1, "a batch leaves one line")
	require.Equal(t, 3, lines[0].Events)
	require.Equal(t, []string{"INVALID_ARGUMENT", "ALREADY_EXISTS"}, lines[0].Codes)
	require.Equal(t, []string{"body.events[0].type", "body.events[3].geheim"}, lines[0].Places)

	require.NotContains(t, strings.ReplaceAll(f.log.String(), "body.events[3].geheim", ""), "geheim")
	require.NotContains(t, f.log.String(), text)
	before = len(f.refusedLines(t))
	c.post(t, "/v1/events", `{"type":"user.created","data":1}`).object(t, http.StatusAccepted)
	c.post(t, "/v1/webhooks", `{}`)
	require.Len(t, f.refusedLines(t), before, "what is accepted, and what publishes nothing, leaves none")
}

// A tenant whose publishes are refused all the time neither fills the log nor hides other tenants' lines. The log
// states how many lines were omitted.
func TestRefusalsDoNotFillTheLog(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := logging(t)
	_, text := f.newTenant(t)
	for range 400 {
		f.post(t, "/v1/events", `{"type":"user.create","data":1}`)
	}
	lines := f.refusedLines(t)
	require.Less(t, len(lines), 400, "400 in a row are more than 20 a second")
	f.as(text).post(t, "/v1/events", `{"type":"user.create","data":1}`)
	after := f.refusedLines(t)
	require.Len(t, after, len(lines)+1)
	omitted := 0
	for _, l := range after {
		omitted += l.Omitted
	}
	require.Equal(t, 401, len(after)+omitted, fmt.Sprint(len(after)))
}
