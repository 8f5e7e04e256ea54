package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// ago returns a past time as requests contain it.
func ago(d time.Duration) string { return time.Now().Add(-d).UTC().Format(time.RFC3339Nano) }

func (f *fixture) replay(t *testing.T, webhook, body string) answer {
	t.Helper()
	return f.post(t, "/v1/webhooks/"+webhook+"/replay", body)
}

// A replay is started, read, paused, slowed down, resumed and canceled.
func TestReplay(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	r := f.replay(t, webhook, fmt.Sprintf(`{"since":%q,"until":%q,"status":"failed","event_types":["user.*"]}`, ago(time.Hour), ago(time.Minute))).object(t, http.StatusAccepted)
	require.Regexp(t, `^rpl_[0-7][0-9a-hjkmnp-tv-z]{25}$`, r["id"])
	id, err := hook.ParseReplayID(r["id"].(string))
	require.NoError(t, err)
	require.Equal(t, []hook.ReplayID{id}, f.dispatched.replays)
	for name, want := range map[string]any{
		"webhook_id": webhook, "status": "failed", "event_types": []any{"user.*"}, "rate": 100.0, "state": "running", "events": 0.0, "scanned": 0.0, "created": 0.0,
		"workflow_id": r["id"], "looked_to": r["since"],
	} {
		require.Equal(t, want, r[name], name)
	}
	path := "/v1/replays/" + r["id"].(string)
	got := f.get(t, path).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"succeeded": 0.0, "failed": 0.0, "canceled": 0.0, "outstanding": 0.0}, got["progress"])
	for _, step := range []struct{ method, path, body, state string }{
		{http.MethodPost, "/pause", "", "paused"},
		{http.MethodPost, "/pause", "", "paused"},
		{http.MethodPatch, "", `{"rate":7}`, "paused"},
		{http.MethodPost, "/resume", "", "running"},
		{http.MethodPost, "/cancel", "", "canceled"},
	} {
		got = f.do(t, step.method, path+step.path, step.body, nil).object(t, http.StatusOK)
		require.Equal(t, step.state, got["state"], step.path)
	}
	require.EqualValues(t, 7, got["rate"])
	moment(t, got["ended_at"])
	for _, verb := range []string{"pause", "resume", "cancel"} {
		require.Contains(t, f.post(t, path+"/"+verb, "").problem(t, http.StatusConflict, "FAILED_PRECONDITION").Detail, "canceled")
	}
	list := f.get(t, "/v1/replays?webhook_id="+webhook).list(t, "replays")
	require.Len(t, list, 1)
	require.Equal(t, r["id"], list[0]["id"])
	require.NotContains(t, list[0], "progress")
	require.Empty(t, f.get(t, "/v1/replays?webhook_id="+f.newWebhook(t, "user.created")).list(t, "replays"))
}

// With dry_run it counts the events that the replay would send, and starts nothing.
func TestReplayDryRun(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.post(t, "/v1/events", `{"type":"user.created","data":{}}`).object(t, http.StatusAccepted)
	webhook := f.newWebhook(t, "user.created")
	n := f.replay(t, webhook, fmt.Sprintf(`{"since":%q,"status":"missing","dry_run":true}`, ago(time.Hour))).object(t, http.StatusOK)
	require.Equal(t, map[string]any{"dry_run": true, "events": 1.0, "complete": true}, n, "the last seconds are counted")
	require.Empty(t, f.dispatched.replays)
	require.Zero(t, value[int](t, f, `select count(*) from replays`))
}

// Invalid requests are refused and start nothing.
func TestReplayRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	hour := ago(time.Hour)
	for body, location := range map[string]string{
		`{"status":"failed"}`:                                                                           "body",
		`{"since":"yesterday","status":"failed"}`:                                                       "body.since",
		fmt.Sprintf(`{"since":%q}`, hour):                                                               "body",
		fmt.Sprintf(`{"since":%q,"status":"some"}`, hour):                                               "body.status",
		fmt.Sprintf(`{"since":%q,"status":"all"}`, ago(-time.Hour)):                                     "body.since",
		fmt.Sprintf(`{"since":%q,"until":%q,"status":"all"}`, hour, ago(2*time.Hour)):                   "body.since",
		fmt.Sprintf(`{"since":%q,"status":"all","rate":0}`, hour):                                       "body.rate",
		fmt.Sprintf(`{"since":%q,"status":"all","rate":1001}`, hour):                                    "body.rate",
		fmt.Sprintf(`{"since":%q,"status":"all","event_types":["user.*.x"]}`, hour):                     "body.event_types",
		fmt.Sprintf(`{"since":%q,"status":"all","dryrun":true}`, hour):                                  "body.dryrun",
		fmt.Sprintf(`{"since":%q,"status":"all","event_types":["%s"]}`, hour, strings.Repeat("x", 200)): "body.event_types",
		fmt.Sprintf(`{"since":%q,"status":"all","event_types":["user.create"]}`, hour):                  "body.event_types",
	} {
		p := f.replay(t, webhook, body).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Equal(t, location, p.Errors[0].Location, body)
	}
	good := fmt.Sprintf(`{"since":%q,"status":"all"}`, hour)
	f.replay(t, "hook_01kab1s6rzfkqbzry2kztmfpx1", good).problem(t, http.StatusNotFound, "NOT_FOUND")
	f.get(t, "/v1/replays/rpl_01kab1s6rzfkqbzry2kztmfpx1").problem(t, http.StatusNotFound, "NOT_FOUND")
	f.post(t, "/v1/replays/nonsense/cancel", "").problem(t, http.StatusNotFound, "NOT_FOUND")
	f.get(t, "/v1/replays?webhook_id=nonsense").problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"active":false}`, nil)
	f.replay(t, webhook, good).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.Empty(t, f.dispatched.replays)

	active := f.newWebhook(t, "user.created")
	f.replay(t, active, good).object(t, http.StatusAccepted)
	require.Contains(t, f.replay(t, active, good).problem(t, http.StatusConflict, "ALREADY_EXISTS").Detail, "another replay")
	require.Len(t, f.dispatched.replays, 1)
}

// A replay may name types of the catalogue, and names to which its webhook subscribes.
func TestReplayOfUnknownTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	dry := func(webhook, eventType string) answer {
		return f.replay(t, webhook, fmt.Sprintf(`{"since":%q,"status":"missing","dry_run":true,"event_types":["user.created",%q]}`, ago(time.Hour), eventType))
	}
	standard, commenda := f.newWebhook(t, "user.created"), f.newCommendaWebhook(t, "REGISTRATION DONE")
	dry(standard, "user.create").refused(t, "body.event_types", "user.create: is not a known event type; did you mean user.created?")
	dry(standard, "invoice.paid").refused(t, "body.event_types", "not a known event type")
	f.exec(t, `update webhooks set events = '{user.created,invoice.paid}' where profile = 'standard'`)
	dry(standard, "invoice.paid").object(t, http.StatusOK)
	dry(standard, "invoice.*").object(t, http.StatusOK)
	dry(commenda, "REGISTRATION DONE").object(t, http.StatusOK)
}
