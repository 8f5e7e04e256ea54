package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func (f *fixture) replayMany(t *testing.T, body string) answer {
	t.Helper()
	return f.post(t, "/v1/replays", body)
}

// A6: a replay over several webhooks is begun, shown with its conditions and the state of each webhook, listed and canceled.
func TestReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two := f.newWebhook(t, "user.created"), f.newWebhook(t, "user.created")
	off, momento := f.newWebhook(t, "user.created"), f.newMomentoWebhook(t)
	f.do(t, http.MethodPatch, "/v1/webhooks/"+off, `{"active":false}`, nil).object(t, http.StatusOK)
	_ = momento
	r := f.replayMany(t, fmt.Sprintf(`{"webhook_ids":[%q,%q,%q],"since":%q,"until":%q,"status":"failed","status_class":"5xx","error_class":"status","event_types":["user.*"],"reference":"order_4711","rate":7}`,
		one, two, off, ago(time.Hour), ago(time.Minute))).object(t, http.StatusAccepted)
	id, err := hook.ParseReplayID(r["id"].(string))
	require.NoError(t, err)
	require.Equal(t, []hook.ReplayID{id}, f.dispatched.replays)
	path := "/v1/replays/" + r["id"].(string)
	got := f.get(t, path).object(t, http.StatusOK)
	list := f.get(t, "/v1/replays?webhook_id="+two).list(t, "replays")
	require.Len(t, list, 1)
	for _, shown := range []map[string]any{r, got, list[0]} {
		for name, want := range map[string]any{
			"webhook_id": "", "webhook_ids": []any{one, two, off}, "status": "failed", "status_class": "5xx", "error_class": "status",
			"event_types": []any{"user.*"}, "reference": "order_4711", "rate": 7.0, "state": "running", "created": 0.0,
		} {
			require.Equal(t, want, shown[name], name)
		}
		require.NotContains(t, shown, "all_webhooks")
	}
	require.NotContains(t, list[0], "webhooks")
	none := map[string]any{"succeeded": 0.0, "failed": 0.0, "canceled": 0.0, "outstanding": 0.0}
	for _, shown := range []map[string]any{r, got} {
		states := map[string]map[string]any{}
		for _, w := range objects(t, shown["webhooks"]) {
			states[w["webhook_id"].(string)] = w
			delete(w, "webhook_id")
		}
		require.Equal(t, map[string]map[string]any{
			one: none, two: none, off: {"succeeded": 0.0, "failed": 0.0, "canceled": 0.0, "outstanding": 0.0, "left_out": "inactive"},
		}, states)
	}
	require.Equal(t, none, got["progress"])
	require.Contains(t, f.replayMany(t, fmt.Sprintf(`{"since":%q,"status":"failed"}`, ago(time.Hour))).problem(t, http.StatusConflict, "ALREADY_EXISTS").Detail, r["id"])
	require.Equal(t, "canceled", f.post(t, path+"/cancel", "").object(t, http.StatusOK)["state"])

	all := f.replayMany(t, fmt.Sprintf(`{"since":%q,"status":"all"}`, ago(time.Hour))).object(t, http.StatusAccepted)
	require.Equal(t, true, all["all_webhooks"])
	require.Len(t, all["webhooks"], 4)
	reasons := map[any]int{}
	for _, w := range objects(t, all["webhooks"]) {
		reasons[w["left_out"]]++
	}
	require.Equal(t, map[any]int{nil: 2, "inactive": 1, "at_most_once": 1}, reasons)
	entry := f.entries(t, "&action=replay.created")[0]
	changes := map[any]any{}
	for _, c := range objects(t, entry["changes"]) {
		changes[c["member"]] = c["after"]
	}
	require.Equal(t, true, changes["all_webhooks"])
	require.NotContains(t, changes, "webhook_id")
}

// A6: dry_run says how many each webhook would get, and which are left out. Nothing is stored.
func TestCountAReplayOverWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	off := f.newWebhook(t, "user.created")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+off, `{"active":false}`, nil).object(t, http.StatusOK)
	for range 2 {
		f.post(t, "/v1/events", `{"type":"user.created","data":{}}`).object(t, http.StatusAccepted)
	}
	none, some := f.newWebhook(t, "user.deleted"), f.newWebhook(t, "user.created")
	n := f.replayMany(t, fmt.Sprintf(`{"since":%q,"status":"missing","dry_run":true}`, ago(time.Hour))).object(t, http.StatusOK)
	require.Equal(t, []any{true, 2.0, true}, []any{n["dry_run"], n["events"], n["complete"]})
	webhooks := objects(t, n["webhooks"])
	require.Equal(t, map[string]any{"webhook_id": some, "events": 2.0}, webhooks[0], "those that would get some come first")
	require.ElementsMatch(t, []map[string]any{
		{"webhook_id": off, "events": 0.0, "left_out": "inactive"}, {"webhook_id": none, "events": 0.0},
	}, webhooks[1:])
	require.Empty(t, f.dispatched.replays)
	require.Zero(t, value[int](t, f, `select count(*) from replays`))
}

// A6: deliveries chosen one by one. Ids that the account does not have are refused, each with its place, and nothing is done.
func TestReplayOfChosenDeliveries(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	delivery := f.deliver(t, webhook, failure(500))
	r := f.replayMany(t, fmt.Sprintf(`{"delivery_ids":[%q,%q]}`, delivery, delivery)).object(t, http.StatusAccepted)
	require.Equal(t, []any{delivery}, r["delivery_ids"])
	require.Equal(t, []any{webhook}, r["webhook_ids"])
	got := f.get(t, "/v1/replays/"+r["id"].(string)).object(t, http.StatusOK)
	require.Equal(t, []any{delivery}, got["delivery_ids"])

	test := f.post(t, "/v1/webhooks/"+webhook+"/test", "").object(t, http.StatusOK)["id"].(string)
	_, key := f.newTenant(t)
	theirs := f.as(key)
	bad := fmt.Sprintf(`{"delivery_ids":[%q,"del_x",%q,%q]}`, delivery, hook.DeliveryID{1}.String(), test)
	p := f.replayMany(t, bad).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	places := map[string]string{}
	for _, e := range p.Errors {
		places[e.Location] = e.Message
	}
	require.Len(t, places, 3)
	require.Contains(t, places, "body.delivery_ids[1]")
	require.Equal(t, "is not the id of a delivery of the account", places["body.delivery_ids[2]"])
	require.Equal(t, "is a test, which is not replayed", places["body.delivery_ids[3]"])
	theirs.post(t, "/v1/replays", fmt.Sprintf(`{"delivery_ids":[%q]}`, delivery)).refused(t, "body.delivery_ids[0]", "is not the id of a delivery of the account")
	for _, other := range []string{
		`"webhook_ids":["` + webhook + `"]`, `"since":"2026-01-01T00:00:00Z"`, `"until":"2026-01-01T00:00:00Z"`, `"status":"failed"`,
		`"status_class":"5xx"`, `"error_class":"timeout"`, `"event_types":["user.created"]`, `"reference":"order_1"`,
	} {
		name, _, _ := strings.Cut(strings.TrimPrefix(other, `"`), `"`)
		f.replayMany(t, fmt.Sprintf(`{"delivery_ids":[%q],%s}`, delivery, other)).refused(t, "body."+name, "must be left out with delivery_ids")
	}
	require.Len(t, f.dispatched.replays, 1)
	require.Equal(t, 1, value[int](t, f, `select count(*) from replays`))
}

// A6: bad requests are refused, naming the field, and begin nothing.
func TestReplayOverWebhooksRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	_, key := f.newTenant(t)
	theirs := f.as(key).post(t, "/v1/webhooks", `{"url":"https://theirs.example/","events":["user.created"]}`).object(t, http.StatusCreated)["id"].(string)
	hour := ago(time.Hour)
	ids := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf("%q", hook.DeliveryID{byte(i >> 8), byte(i), 2}.String())
		}
		return strings.Join(list, ",")
	}
	for body, place := range map[string]string{
		`{}`:                              "body.since",
		`{"status":"failed"}`:             "body.since",
		fmt.Sprintf(`{"since":%q}`, hour): "body.status",
		`{"since":"yesterday","status":"failed"}`:                                                  "body.since",
		fmt.Sprintf(`{"since":%q,"status":"failed"}`, ago(-time.Hour)):                             "body.since",
		fmt.Sprintf(`{"since":%q,"until":%q,"status":"failed"}`, hour, ago(2*time.Hour)):           "body.since",
		fmt.Sprintf(`{"since":%q,"status":"some"}`, hour):                                          "body.status",
		fmt.Sprintf(`{"since":%q,"status":"missing","status_class":"5xx"}`, hour):                  "body.status_class",
		fmt.Sprintf(`{"since":%q,"status":"missing","error_class":"timeout"}`, hour):               "body.error_class",
		fmt.Sprintf(`{"since":%q,"status":"failed","status_class":"2xx"}`, hour):                   "body.status_class",
		fmt.Sprintf(`{"since":%q,"status":"all","status_class":"2xx","error_class":"dns"}`, hour):  "body.status_class",
		fmt.Sprintf(`{"since":%q,"status":"failed","status_class":"6xx"}`, hour):                   "body.status_class",
		fmt.Sprintf(`{"since":%q,"status":"failed","error_class":"slow"}`, hour):                   "body.error_class",
		fmt.Sprintf(`{"since":%q,"status":"failed","reference":"a\u0000b"}`, hour):                 "body.reference",
		fmt.Sprintf(`{"since":%q,"status":"failed","event_types":["user.create"]}`, hour):          "body.event_types",
		fmt.Sprintf(`{"since":%q,"status":"failed","rate":1001}`, hour):                            "body.rate",
		fmt.Sprintf(`{"since":%q,"status":"failed","webhook_ids":[]}`, hour):                       "body.webhook_ids",
		fmt.Sprintf(`{"since":%q,"status":"failed","webhook_ids":[%q,"hook_x"]}`, hour, webhook):   "body.webhook_ids[1]",
		fmt.Sprintf(`{"since":%q,"status":"failed","webhook_ids":[%q,%q]}`, hour, webhook, theirs): "body.webhook_ids[1]",
		`{"delivery_ids":[]}`:                  "body.delivery_ids",
		`{"delivery_ids":[` + ids(1001) + `]}`: "body.delivery_ids",
	} {
		p := f.replayMany(t, body).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Equal(t, place, p.Errors[0].Location, "%.200s", body)
	}
	require.Len(t, f.replayMany(t, `{"delivery_ids":[`+ids(1000)+`]}`).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 100, "the first are named")
	f.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"active":false}`, nil).object(t, http.StatusOK)
	p := f.replayMany(t, fmt.Sprintf(`{"since":%q,"status":"failed"}`, hour)).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.Contains(t, p.Detail, webhook)
	require.Contains(t, p.Detail, "inactive")
	require.Empty(t, f.dispatched.replays)
	require.Zero(t, value[int](t, f, `select count(*) from replays`))
}

// A replay may name types of the catalogue, and names to which one of its webhooks subscribes.
func TestReplayOverWebhooksOfUnknownTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	dry := func(eventType string) answer {
		return f.replayMany(t, fmt.Sprintf(`{"since":%q,"status":"missing","dry_run":true,"event_types":["user.created",%q]}`, ago(time.Hour), eventType))
	}
	f.newWebhook(t, "user.created")
	dry("user.create").refused(t, "body.event_types", "user.create: is not a known event type; did you mean user.created?")
	f.exec(t, `update webhooks set events = '{user.created,invoice.paid}'`)
	dry("invoice.paid").object(t, http.StatusOK)
	dry("REGISTRATION DONE").refused(t, "body.event_types", "REGISTRATION DONE")
	f.newCommendaWebhook(t, "REGISTRATION DONE")
	dry("REGISTRATION DONE").object(t, http.StatusOK)
}

// A key that is limited to topics chooses no deliveries that it may not read.
func TestChosenDeliveriesOfALimitedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	delivery := f.deliver(t, f.newWebhook(t, "user.created"), failure(500))
	for topic, status := range map[string]int{"user.*": http.StatusAccepted, "project.*": http.StatusUnprocessableEntity} {
		key := f.post(t, "/v1/api-keys", fmt.Sprintf(`{"name":"one","scopes":["webhooks"],"topics":[%q]}`, topic)).object(t, http.StatusCreated)["key"].(string)
		a := f.as(key).post(t, "/v1/replays", fmt.Sprintf(`{"delivery_ids":[%q]}`, delivery))
		require.Equal(t, status, a.status, string(a.body))
	}
}

// K4: the list over all tenants names the tenant of a replay over several webhooks.
func TestReplaysOverWebhooksOfAllTenants(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "user.created")
	f.replayMany(t, fmt.Sprintf(`{"since":%q,"status":"failed"}`, ago(time.Hour))).object(t, http.StatusAccepted)
	list := f.as(f.newKey(t, hook.DefaultTenant(), slices.Concat(hook.Scopes(), []hook.Scope{hook.ScopePlatform})...)).naming("*").get(t, "/v1/replays").list(t, "replays")
	require.Len(t, list, 1)
	require.Equal(t, hook.DefaultTenant().String(), list[0]["tenant_id"])
	require.Equal(t, true, list[0]["all_webhooks"])
}
