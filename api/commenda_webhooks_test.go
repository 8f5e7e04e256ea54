package api_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

const uuidPattern = `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`

// C1: url and topics suffice. The answer has these members and no others.
func TestRegisterCommendaWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.register(t, `{"url":"https://yourapp.com/webhook","topics":["REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED","Invoice paid!"]}`)
	require.Regexp(t, uuidPattern, w["id"])
	require.Regexp(t, `^[A-Za-z0-9+/]{43}=$`, w["key"])
	moment(t, w["created_at"])
	require.Equal(t, map[string]any{
		"id": w["id"], "api_version": "v1.0", "name": "", "topics": []any{"REGISTRATIONS.EXISTING.VALIDATION.SUCCEEDED", "Invoice paid!"},
		"url": "https://yourapp.com/webhook", "key": w["key"], "status": "ENABLED", "created_at": w["created_at"],
	}, w)
	again := f.register(t, `{"url":"https://yourapp.com/webhook","topics":["Invoice paid!"]}`)
	require.NotEqual(t, w["key"], again["key"])
	require.NotEqual(t, w["id"], again["id"])
}

// C1: the answer repeats every member of the request.
func TestRegisterCommendaWebhookWithEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.register(t, `{"url":"https://yourapp.com:8443/webhook?a=1","topics":["A"],"key":"hush hush é","name":"Registrations é😀","status":"DISABLED","api_version":"v1.0"}`)
	require.Equal(t, map[string]any{
		"id": w["id"], "api_version": "v1.0", "name": "Registrations é😀", "topics": []any{"A"}, "url": "https://yourapp.com:8443/webhook?a=1",
		"key": "hush hush é", "status": "DISABLED", "created_at": w["created_at"],
	}, w)
	require.Equal(t, "ENABLED", f.register(t, `{"url":"https://yourapp.com/","topics":["A"],"status":"ENABLED"}`)["status"])
	id, err := hook.ParseWebhookID(w["id"].(string))
	require.NoError(t, err)
	stored, err := f.store.Webhook(t.Context(), hook.DefaultTenant(), id)
	require.NoError(t, err)
	require.Equal(t, hook.Secret("hush hush é"), stored.Secret)
	require.NotContains(t, f.log.String(), "hush")
}

// C1: topics are a list or a single topic; both are joined.
func TestRegisterCommendaTopics(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for given, want := range map[string][]any{
		`"topic":"A"`:                              {"A"},
		`"topics":["B","A"]`:                       {"B", "A"},
		`"topics":["B","A","B"]`:                   {"B", "A"},
		`"topics":["B"],"topic":"A"`:               {"B", "A"},
		`"topics":["B","A"],"topic":"B"`:           {"B", "A"},
		`"topics":[],"topic":"A"`:                  {"A"},
		`"topics":null,"topic":"A"`:                {"A"},
		`"topics":["A"],"topic":null`:              {"A"},
		`"topics":["*","a.*","a b","ä/😀","A.b.C"]`: {"*", "a.*", "a b", "ä/😀", "A.b.C"},
	} {
		require.Equal(t, want, f.register(t, `{"url":"https://yourapp.com/",`+given+`}`)["topics"], given)
	}
}

// Spec 6: unknown members are tolerated here, and null counts as absent.
func TestCommendaToleratesUnknownMembers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.register(t, `{"url":"https://yourapp.com/","topics":["A"],"Topics":7,"secret":{"a":[{"b":1}]},"events":["user.created"],
		"active":false,"account":12345678901234567890,"twice":{"a":1,"a":2},"key":null,"name":null,"status":null,"api_version":null,"-":1,"_":2}`)
	require.Equal(t, []any{"ENABLED", "v1.0", ""}, []any{w["status"], w["api_version"], w["name"]})
	require.Regexp(t, `^[A-Za-z0-9+/]{43}=$`, w["key"])
	id := w["id"].(string)
	before := f.webhookOf(t, id)
	require.Equal(t, before, f.update(t, id, `{"id":"x","created_at":7,"description":{"a":1},"url":null,"topics":null,"topic":null,"key":null,"name":null,"status":null,"api_version":null}`))
	d := f.post(t, "/webhooks/test/trigger/"+id, `{"organization_id":7,"eventData":{"a":1,"a":1},"event_data":null,"topic":null}`).
		data(t, http.StatusOK, "Successfully triggered webhook.")
	require.Equal(t, "A", d["event_type"])
	f.post(t, "/events", `{"topic":"A","data":1,"organization_id":null,"type":7,"ident":{"a":1,"a":123456789012345678901234567890}}`).
		data(t, http.StatusAccepted, "Successfully accepted event.")
}

// manyTopics returns n topics, as the elements of a JSON list.
func manyTopics(n int) string {
	topics := make([]string, n)
	for i := range topics {
		topics[i] = fmt.Sprintf("%q", "T"+strconv.Itoa(i))
	}
	return strings.Join(topics, ",")
}

// commendaRefusals returns bodies that both registering and updating refuse.
func commendaRefusals() map[string]struct{ member, location, text string } {
	return map[string]struct{ member, location, text string }{
		"url empty":               {`"url":""`, "body.url", "must not be empty"},
		"url relative":            {`"url":"/webhook"`, "body.url", "absolute http or https"},
		"url of http":             {`"url":"http://yourapp.com/"`, "body.url", "must be https"},
		"url of ftp":              {`"url":"ftp://yourapp.com/"`, "body.url", "absolute http or https"},
		"url with user":           {`"url":"https://u:p@yourapp.com/"`, "body.url", "user name"},
		"url too long":            {`"url":"https://yourapp.com/` + strings.Repeat("a", 2029) + `"`, "body.url", "2048"},
		"url blocked":             {`"url":"https://169.254.169.254/latest"`, "body.url", "not an allowed destination"},
		"url of another type":     {`"url":1`, "body.url", "expected string"},
		"topics empty":            {`"topics":[]`, "body.topics", "at least one topic"},
		"topics of another type":  {`"topics":"A"`, "body.topics", "expected array"},
		"too many topics":         {`"topics":[` + manyTopics(101) + `]`, "body.topics", "100"},
		"a topic of another type": {`"topics":["A",1]`, "body.topics[1]", "expected string"},
		"a topic null":            {`"topics":[null]`, "body.topics[0]", "1 to 128"},
		"a topic empty":           {`"topics":["A",""]`, "body.topics[1]", "1 to 128"},
		"a topic after others":    {`"topics":["A","A","A"," B"]`, "body.topics[3]", "surrounding spaces"},
		"a topic too long":        {`"topics":["` + strings.Repeat("é", 129) + `"]`, "body.topics[0]", "1 to 128"},
		"a topic with controls":   {`"topics":["a\u0000"]`, "body.topics[0]", "control characters"},
		"topic empty":             {`"topic":""`, "body.topic", "1 to 128"},
		"topic with spaces":       {`"topic":"A "`, "body.topic", "surrounding spaces"},
		"topic beside topics":     {`"topics":["A"],"topic":"\u0007"`, "body.topic", "control characters"},
		"topic too long":          {`"topic":"` + strings.Repeat("a", 129) + `"`, "body.topic", "1 to 128"},
		"topic of another type":   {`"topic":["A"]`, "body.topic", "expected string"},
		"key empty":               {`"key":""`, "body.key", "8"},
		"key too long":            {`"key":"` + strings.Repeat("a", 257) + `"`, "body.key", "256"},
		"key too long, in Greek":  {`"key":"` + strings.Repeat("λ", 257) + `"`, "body.key", "256"},
		"key too short":           {`"key":"1234567"`, "body.key", "8 to 256"},
		"key with a space":        {`"key":" 12345678"`, "body.key", "spaces at its ends"},
		"key with controls":       {`"key":"aaaaaaaa\u0000b"`, "body.key", "control characters"},
		"key of another type":     {`"key":7`, "body.key", "expected string"},
		"name too long":           {`"name":"` + strings.Repeat("é", 1001) + `"`, "body.name", "1000"},
		"name with controls":      {`"name":"a\u001b[2Jb"`, "body.name", "control characters"},
		"name of another type":    {`"name":{}`, "body.name", "expected string"},
		"status unknown":          {`"status":"PAUSED"`, "body.status", "one of"},
		"status of another case":  {`"status":"enabled"`, "body.status", "one of"},
		"status of another type":  {`"status":true`, "body.status", "expected string"},
		"version unknown":         {`"api_version":"v2.0"`, "body.api_version", "one of"},
		"version of another type": {`"api_version":1.0`, "body.api_version", "expected string"},
	}
}

// C1, spec 6: each wrong member is reported under its name on this surface.
func TestRegisterCommendaRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "https://169.254.169.254/latest"
	// What is given twice would be malformed.
	body := func(member string) string {
		out := "{" + member
		for name, good := range map[string]string{"url": `"https://yourapp.com/"`, "topic": `"A"`} {
			if !strings.Contains(member, `"`+name+`"`) && !strings.Contains(member, `"`+name+`s"`) {
				out += `,"` + name + `":` + good
			}
		}
		return out + "}"
	}
	for name, c := range commendaRefusals() {
		a := f.post(t, "/webhooks", body(c.member))
		a.refused(t, c.location, c.text)
		require.Len(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 1, "%s: %s", name, a.body)
	}
	for name, c := range map[string]struct{ body, location, text string }{
		"url missing":    {`{"topics":["A"]}`, "body.url", "must not be empty"},
		"url null":       {`{"url":null,"topics":["A"]}`, "body.url", "must not be empty"},
		"topics missing": {`{"url":"https://yourapp.com/"}`, "body.topics", "at least one topic"},
		"topics null":    {`{"url":"https://yourapp.com/","topics":null}`, "body.topics", "at least one topic"},
		"an array":       {`[]`, "body", "must be a JSON object"},
		"null":           {`null`, "body", "must be a JSON object"},
	} {
		t.Log(name)
		f.post(t, "/webhooks", c.body).refused(t, c.location, c.text)
	}
	f.post(t, "/webhooks", "").problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.post(t, "/webhooks", `{"url":`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.post(t, "/webhooks", `{"url":"https://a.example/","topic":"A","topic":"B"}`).refused(t, "body/topic", "twice")
	f.post(t, "/webhooks", `{"url":"`+strings.Repeat("a", 64<<10)+`"}`).problem(t, http.StatusRequestEntityTooLarge, "PAYLOAD_TOO_LARGE")
	f.do(t, http.MethodPost, "/webhooks", "a=b", map[string]string{"Content-Type": "text/plain"}).
		problem(t, http.StatusUnsupportedMediaType, "INVALID_ARGUMENT")
	require.Zero(t, value[int](t, f, `select count(*) from webhooks`))
}

// Spec 6: all mistakes are reported at once, and the answer never has the key.
func TestRegisterCommendaReportsEverything(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.post(t, "/webhooks", `{"url":"ftp://x","topics":["A","A"," B"],"topic":"\u0001","key":"hush\u0007hush","name":"\u0001"}`)
	p := a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	for _, location := range []string{"body.url", "body.topics[2]", "body.topic", "body.key", "body.name"} {
		p.at(t, location)
	}
	require.Len(t, p.Errors, 5)
	require.NotContains(t, string(a.body), "hush")
	a = f.post(t, "/webhooks", `{"url":1,"topics":[1],"topic":1,"key":47114711,"name":1,"status":1,"api_version":1}`)
	p = a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
	for _, location := range []string{"body.url", "body.topics[0]", "body.topic", "body.key", "body.name", "body.status", "body.api_version"} {
		p.at(t, location)
	}
	require.NotContains(t, string(a.body), "4711")
	a = f.post(t, "/webhooks", `{"url":"https://a.example/","topic":"A","key":"`+strings.Repeat("hush", 100)+`"}`)
	a.refused(t, "body.key", "256")
	require.NotContains(t, string(a.body), "hush")
	require.NotContains(t, f.log.String(), "hush")
}

// C1: https only, unless the operator allows http.
func TestCommendaAllowHTTP(t *testing.T) {
	t.Parallel()
	f := setup(t, func(d *api.Deps) { d.Config.AllowHTTP = true })
	w := f.register(t, `{"url":"http://yourapp.com:8080/webhook","topics":["A"]}`)
	require.Equal(t, "http://yourapp.com:8080/webhook", w["url"])
	require.Equal(t, "http://other.example/", f.update(t, w["id"].(string), `{"url":"http://other.example/"}`)["url"])
}

// C2: all of the account's Commenda webhooks, newest first, without keys.
func TestListCommendaWebhooks(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.Equal(t, map[string]any{"webhooks": []any{}}, f.get(t, "/webhooks").data(t, http.StatusOK, "Successfully fetched webhooks."))
	w := f.register(t, `{"url":"https://yourapp.com/webhook","topics":["A"],"name":"one","status":"DISABLED"}`)
	key := w["key"].(string)
	delete(w, "key")
	f.newWebhook(t, "user.created") // is none of them
	second := f.newCommendaWebhook(t, "A")

	a := f.get(t, "/webhooks")
	data := a.data(t, http.StatusOK, "Successfully fetched webhooks.")
	require.Len(t, data, 1)
	listed := objects(t, data["webhooks"])
	require.Equal(t, []string{second, w["id"].(string)}, ids(listed))
	require.Equal(t, w, listed[1])
	require.NotContains(t, string(a.body), key)
	for _, id := range []string{w["id"].(string), typeID(t, w["id"].(string)), strings.ToUpper(w["id"].(string))} {
		a = f.get(t, "/webhooks/"+id)
		require.Equal(t, w, a.data(t, http.StatusOK, "Successfully fetched webhook."))
		require.NotContains(t, string(a.body), key)
	}
	f.get(t, "/webhooks?limit=0").refused(t, "query.limit", "")
}

// C2: the list is complete, however many webhooks there are.
func TestListManyCommendaWebhooks(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	const n = 201
	want := make([]string, n)
	for i := range n {
		w := hook.Webhook{
			TenantID: hook.DefaultTenant(), Profile: hook.ProfileCommenda, URL: commendaURL, Events: []string{"A"}, Secret: "s", Active: true,
			Description: fmt.Sprint(i),
		}
		w.Normalize()
		w, err := f.store.CreateWebhook(t.Context(), w)
		require.NoError(t, err)
		want[n-1-i] = w.ID.UUID()
	}
	listed := objects(t, f.get(t, "/webhooks").data(t, http.StatusOK, "Successfully fetched webhooks.")["webhooks"])
	require.Equal(t, want, ids(listed))
}

// C3: each member can be changed by itself, and the others stay. The key is never shown.
func TestUpdateCommendaWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.register(t, `{"url":"https://yourapp.com/webhook","topics":["A","B"],"key":"hush hush","name":"one"}`)["id"].(string)
	want := f.webhookOf(t, id)
	for _, c := range []struct {
		body, member string
		value        any
	}{
		{`{}`, "name", "one"},
		{`{"name":"two"}`, "name", "two"},
		{`{"name":""}`, "name", ""},
		{`{"url":"https://other.example/"}`, "url", "https://other.example/"},
		{`{"topics":["C","D","C"]}`, "topics", []any{"C", "D"}},
		{`{"topic":"E"}`, "topics", []any{"E"}},
		{`{"topics":["F"],"topic":"G"}`, "topics", []any{"F", "G"}},
		{`{"status":"DISABLED"}`, "status", "DISABLED"},
		{`{"status":"DISABLED"}`, "status", "DISABLED"},
		{`{"status":"ENABLED"}`, "status", "ENABLED"},
		{`{"api_version":"v1.0"}`, "api_version", "v1.0"},
		{`{"key":"hush too"}`, "status", "ENABLED"},
	} {
		want[c.member] = c.value
		a := f.post(t, "/webhooks/"+id, c.body)
		require.Equal(t, want, a.data(t, http.StatusOK, "Successfully updated webhook."), c.body)
		require.NotContains(t, string(a.body), "hush")
		require.Equal(t, want, f.webhookOf(t, id))
	}
	parsed, err := hook.ParseWebhookID(id)
	require.NoError(t, err)
	stored, err := f.store.Webhook(t.Context(), hook.DefaultTenant(), parsed)
	require.NoError(t, err)
	require.Equal(t, hook.Secret("hush too"), stored.Secret)
	require.Equal(t, want, f.update(t, typeID(t, id), `{}`))
	require.NotContains(t, f.log.String(), "hush")
}

// C3, spec 6: a refused update changes nothing.
func TestUpdateCommendaRefusals(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.blocked.url = "https://169.254.169.254/latest"
	id := f.newCommendaWebhook(t, "A")
	before := f.webhookOf(t, id)
	for name, c := range commendaRefusals() {
		a := f.post(t, "/webhooks/"+id, `{`+c.member+`}`)
		a.refused(t, c.location, c.text)
		require.Len(t, a.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").Errors, 1, "%s: %s", name, a.body)
	}
	f.post(t, "/webhooks/"+id, `[]`).refused(t, "body", "must be a JSON object")
	f.post(t, "/webhooks/"+id, "").problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.post(t, "/webhooks/"+id, `{`).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	require.Equal(t, before, f.webhookOf(t, id))
}

// C3: a DISABLED webhook gets no more requests, and its outstanding deliveries are canceled. ENABLED again, it gets
// later events only.
func TestDisableCommendaWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A")
	require.EqualValues(t, 1, f.publishTo(t, "A")["deliveries"])
	f.update(t, id, `{"status":"DISABLED"}`)
	d := f.get(t, "/webhooks/"+id+"/deliveries").list(t, "deliveries")[0]
	require.Equal(t, []any{"canceled", "Webhook disabled"}, []any{d["status"], d["error"]})
	require.NotContains(t, d, "next_attempt_at")
	require.EqualValues(t, 0, f.publishTo(t, "A")["deliveries"])
	f.update(t, id, `{"status":"ENABLED"}`)
	require.EqualValues(t, 1, f.publishTo(t, "A")["deliveries"])
	require.Len(t, f.get(t, "/webhooks/"+id+"/deliveries").list(t, "deliveries"), 2)
	// One that never was enabled.
	f.register(t, `{"url":"https://yourapp.com/","topic":"B","status":"DISABLED"}`)
	require.EqualValues(t, 0, f.publishTo(t, "B")["deliveries"])
}

// C4: deleting answers 204 without a body, and outstanding deliveries end as canceled.
func TestDeleteCommendaWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	gone, stays := f.newCommendaWebhook(t, "A"), f.newCommendaWebhook(t, "A")
	event := f.publishTo(t, "A")
	a := f.do(t, http.MethodDelete, "/webhooks/"+gone, "", nil)
	require.Equal(t, http.StatusNoContent, a.status)
	require.Empty(t, a.body)
	for method, path := range map[string]string{
		"GET": "/webhooks/", "POST": "/webhooks/test/trigger/", "DELETE": "/webhooks/",
	} {
		f.do(t, method, path+gone, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	}
	f.post(t, "/webhooks/"+gone, `{}`).problem(t, http.StatusNotFound, "NOT_FOUND")
	f.get(t, "/v1/webhooks/"+gone).problem(t, http.StatusNotFound, "NOT_FOUND")
	states := map[string]string{}
	for _, d := range objects(t, f.get(t, "/v1/events/"+event["id"].(string)).object(t, http.StatusOK)["deliveries"]) {
		states[uuid(t, d["webhook_id"].(string))] = d["status"].(string)
	}
	require.Equal(t, map[string]string{gone: "canceled", stays: "pending"}, states)
	require.Equal(t, []string{stays}, f.receivers(t, f.publishTo(t, "A")["id"]))
}

// C1: one or more topics; several webhooks may share a topic or a URL.
func TestCommendaWebhooksShareTopicsAndURLs(t *testing.T) {
	t.Parallel()
	f := setup(t)
	one, two, both := f.newCommendaWebhook(t, "A"), f.newCommendaWebhook(t, "A"), f.newCommendaWebhook(t, "B", "A")
	other := f.newCommendaWebhook(t, "B")
	require.ElementsMatch(t, []string{one, two, both}, f.receivers(t, f.publishTo(t, "A")["id"]))
	require.ElementsMatch(t, []string{both, other}, f.receivers(t, f.publishTo(t, "B")["id"]))
	require.Empty(t, f.receivers(t, f.publishTo(t, "a")["id"]), "the case matters")
	f.update(t, both, `{"topic":"C"}`)
	require.ElementsMatch(t, []string{both}, f.receivers(t, f.publishTo(t, "C")["id"]))
	require.ElementsMatch(t, []string{one, two}, f.receivers(t, f.publishTo(t, "A")["id"]))
}

// Spec 9, C3: a webhook that was disabled for its failures is DISABLED here. After ENABLED it is healthy, gets events,
// and has five days again.
func TestEnableCommendaWebhookThatWasDisabled(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.newCommendaWebhook(t, "A")
	for _, reason := range []string{hook.ReasonGone, hook.ReasonFailedDays} {
		f.exec(t, `update webhooks set active = false, disabled_reason = $1, health = 'failed', failing_since = now() - interval '6 days'`, reason)
		require.Equal(t, "DISABLED", f.webhookOf(t, id)["status"])
		require.EqualValues(t, 0, f.publishTo(t, "A")["deliveries"])
		f.update(t, id, `{"name":"the same"}`)
		require.Equal(t, "DISABLED", f.webhookOf(t, id)["status"], "another change wakes nobody")
		f.update(t, id, `{"status":"ENABLED"}`)
		require.EqualValues(t, 1, f.publishTo(t, "A")["deliveries"])
		require.Equal(t, 1, value[int](t, f, `select count(*) from webhooks where active and health = 'healthy' and failing_since is null`), reason)
	}
}

// This surface and Momento's accept a body without a content type.
func TestCommendaBodiesNeedNoName(t *testing.T) {
	t.Parallel()
	f := setup(t)
	a := f.do(t, http.MethodPost, "/webhooks", `{"url":"https://a.example/","topics":["a"]}`, map[string]string{"Content-Type": ""})
	require.Equal(t, http.StatusOK, a.status)
}
