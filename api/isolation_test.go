package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// ownNames returns the operations whose paths contain names that each tenant chooses. The same names of another tenant
// name other resources, which do not exist until that tenant makes them.
func ownNames() []string {
	return []string{"put-event-type", "put-momento-webhook", "list-momento-webhooks", "publish-topic-message", "follow-topic", "put-tenant"}
}

// everyOperation calls f with each operation of the document and its call in the table of calls, in the document's
// order.
func everyOperation(t *testing.T, f func(template string, op *huma.Operation, c call)) {
	t.Helper()
	byID := map[string]call{}
	for _, c := range calls() {
		byID[c.id] = c
	}
	doc := api.Document("test")
	for _, template := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, op := range methods(doc.Paths[template]) {
			if op != nil {
				c, ok := byID[op.OperationID]
				require.True(t, ok, "%s is not in the table of calls", op.OperationID)
				f(template, op, c)
			}
		}
	}
}

// Spec 0: an id or a name in the path of any operation is looked up among the caller's own resources.
// TestTenantsAreApart makes each call whose path has an id, with an id of another tenant. This test makes sure that it
// leaves out no operation.
func TestEveryPathNamesAnothersThing(t *testing.T) {
	t.Parallel()
	everyOperation(t, func(template string, op *huma.Operation, c call) {
		named := strings.Contains(template, "{")
		require.Equal(t, named && !slices.Contains(ownNames(), c.id), strings.Contains(c.path, "{"),
			"%s: its call must be made with the id of another tenant's thing", c.id)
		if strings.Contains(c.path, "{") {
			require.Contains(t, op.Responses, "404", c.id)
		}
	})
}

// Spec 0: the answers for a resource of another tenant and for one that does not exist are the same, with their
// headers, except for the path.
func TestAnothersThingsLookLikeNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ids := f.resources(t)
	nothing := map[string]string{
		"tenant": hook.TenantID{1}.String(), "webhook": hook.WebhookID{1}.String(), "event": hook.EventID{1}.String(), "delivery": hook.DeliveryID{1}.String(),
		"key": hook.KeyID{1}.String(), "session": hook.PortalSessionID{1}.String(), "commenda": hook.WebhookID{1}.UUID(), "momento": "nothing", "type": "no.such",
	}
	_, key := f.newTenant(t)
	other := f.as(key)
	everyOperation(t, func(_ string, _ *huma.Operation, c call) {
		if !strings.Contains(c.path, "{") {
			return
		}
		theirs, none := other.do(t, c.method, c.with(ids), c.filled(ids), nil), other.do(t, c.method, c.with(nothing), c.filled(nothing), nil)
		if !c.platform() {
			require.Equal(t, http.StatusNotFound, theirs.status, c.id)
		}
		require.Equal(t, none.status, theirs.status, c.id)
		require.Equal(t, string(none.body), string(theirs.body), c.id)
		none.header.Del("Date")
		theirs.header.Del("Date")
		require.Equal(t, none.header, theirs.header, c.id)
		// An invalid body does not reveal the difference either.
		theirs = other.do(t, c.method, c.with(ids), `{"`, nil)
		none = other.do(t, c.method, c.with(nothing), `{"`, nil)
		require.Equal(t, string(none.body), string(theirs.body), c.id)
	})
}

// Spec 0: an id in a body is looked up among the caller's own resources, too. Another tenant's is answered as one that does
// not exist.
func TestAnothersIDsInBodiesLookLikeNothing(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ids := f.resources(t)
	nothing := map[string]string{"webhook": hook.WebhookID{1}.String(), "delivery": hook.DeliveryID{1}.String()}
	_, key := f.newTenant(t)
	other := f.as(key)
	other.post(t, "/v1/webhooks", `{"url":"https://theirs.example/","events":["user.created"]}`).object(t, http.StatusCreated)
	for _, body := range []string{
		`{"delivery_ids":["{delivery}"]}`, `{"delivery_ids":["{delivery}"],"dry_run":true}`,
		`{"webhook_ids":["{webhook}"],"since":"2026-01-01T00:00:00Z","status":"failed"}`,
		`{"webhook_ids":["{webhook}"],"since":"2026-01-01T00:00:00Z","status":"all","dry_run":true}`,
	} {
		theirs, none := other.post(t, "/v1/replays", fill(body, ids)), other.post(t, "/v1/replays", fill(body, nothing))
		theirs.problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT")
		require.Equal(t, string(none.body), string(theirs.body), body)
	}
	require.Equal(t, 1, value[int](t, f, `select count(*) from replays`))
}

// Spec 0: the names that another tenant uses name the caller's own resources.
func TestNamesAreEachTenantsOwn(t *testing.T) {
	t.Parallel()
	f := setup(t)
	secret := f.do(t, "PUT", "/caches/own/webhooks/own", `{"destination":{"postUrl":"https://yourapp.com/mine"},"topicName":"own"}`, nil).
		object(t, http.StatusOK)["secretString"]
	f.say(t, "own", "own", "mine")
	f.owning().do(t, "PUT", "/v1/event-types/invoice.paid", `{"description":"mine"}`, nil)
	_, key := f.newTenant(t)
	other := f.as(key)
	require.Empty(t, other.get(t, "/caches/own/webhooks").list(t, "webhooks"))
	theirs := other.do(t, "PUT", "/caches/own/webhooks/own", `{"destination":{"postUrl":"https://yourapp.com/theirs"},"topicName":"own"}`, nil).object(t, http.StatusOK)["secretString"]
	require.NotEqual(t, secret, theirs)
	require.Equal(t, http.StatusCreated, other.do(t, "PUT", "/v1/event-types/invoice.paid", `{"description":"theirs"}`, nil).status)
	other.say(t, "own", "own", "theirs")
	for c, want := range map[*client]string{f.client: "mine", other: "theirs"} {
		a := c.get(t, "/topics/own/own?sequence_number=1")
		require.Equal(t, []string{want}, texts(t, a), "and each counts from 1")
		list := c.get(t, "/caches/own/webhooks").list(t, "webhooks")
		require.Len(t, list, 1)
		require.Equal(t, map[string]any{"postUrl": "https://yourapp.com/" + want}, list[0]["destination"])
		types := c.get(t, "/v1/event-types").list(t, "event_types")
		require.Equal(t, want, types[len(types)-1]["description"])
		require.Len(t, c.get(t, "/v1/webhooks").list(t, "webhooks"), 1)
	}
}

// paged returns the lists with a cursor: the path, and the member of the answer.
func paged() map[string][2]string {
	return map[string][2]string{
		"list-webhooks":            {"/v1/webhooks", "webhooks"},
		"list-events":              {"/v1/events", "events"},
		"list-api-keys":            {"/v1/api-keys", "api_keys"},
		"list-portal-sessions":     {"/v1/portal-sessions", "portal_sessions"},
		"search-deliveries":        {"/v1/deliveries", "deliveries"},
		"list-deliveries":          {"/v1/webhooks/{webhook}/deliveries", "deliveries"},
		"list-commenda-deliveries": {"/webhooks/{commenda}/deliveries", ""},
		"list-momento-deliveries":  {"/caches/own/webhooks/{momento}/deliveries", "deliveries"},
		"list-tenants":             {"/v1/tenants", "tenants"},
		"get-tenant-usage":         {"/v1/tenants/*/usage", "periods"},
		"list-audit-log":           {"/v1/audit-log", "entries"},
		"list-replays":             {"/v1/replays", "replays"},
		"list-event-types":         {"/v1/event-types", "event_types"},
		"list-commenda-webhooks":   {"/webhooks", "webhooks"},
		"list-momento-webhooks":    {"/caches/own/webhooks", "webhooks"},
	}
}

// pageOf returns a list's answer without the message.
func pageOf(t *testing.T, c *client, path string) map[string]any {
	t.Helper()
	page := c.get(t, path).object(t, http.StatusOK)
	if data, ok := page["data"].(map[string]any); ok {
		return data
	}
	return page
}

// Spec 0, S2: a cursor leads only into the caller's own list. The cursor of another tenant shows nothing of that
// tenant's, and the cursor of another list is 400.
func TestCursorsOfOthers(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	_, key := f.newTenant(t)
	other := f.as(key)
	mine := f.resources(t)
	for range 3 {
		f.publish(t, `1`)
		f.newKey(t, hook.DefaultTenant(), hook.ScopeRead)
		f.say(t, "own", "quiet", "text")
		f.newMomentoWebhook(t)
		f.newSession(t, hook.DefaultTenant(), hook.CapabilityView)
		f.newCommendaWebhook(t, "B")
		f.post(t, "/events", `{"topic":"A","data":1}`)
		f.replay(t, f.newWebhook(t, "user.created"), `{"since":"2026-01-01T00:00:00Z","status":"all"}`)
	}
	for _, text := range []string{"one", "two"} { // each tenant has resources, and must see no others
		other.post(t, "/v1/webhooks", `{"url":"https://theirs.example/`+text+`","events":["user.created"]}`)
		other.post(t, "/v1/events", `{"type":"user.created","data":"theirs"}`)
	}
	cursors := map[string]string{}
	everyOperation(t, func(_ string, op *huma.Operation, c call) {
		if !slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "cursor" }) {
			return
		}
		list, ok := paged()[c.id]
		require.True(t, ok, "%s has a cursor and is not in the table", c.id)
		path := call{path: list[0]}.with(mine)
		if c.platform() {
			other.get(t, path).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
			f.post(t, "/v1/tenants", `{"name":"more"}`)
		}
		page := pageOf(t, f.client, path+"?limit=1")
		cursor, _ := page["next_cursor"].(string)
		if c.id == "list-momento-webhooks" {
			cursor, _ = page["nextCursor"].(string)
		}
		require.NotEmpty(t, cursor, "%s: more than a page", c.id)
		cursors[c.id] = cursor
		switch {
		case strings.Contains(list[0], "{"):
			other.get(t, path+"?cursor="+cursor).problem(t, http.StatusNotFound, "NOT_FOUND")
		case c.platform():
		default:
			own := objects(t, pageOf(t, other, path+"?limit=100")[list[1]])
			for _, item := range objects(t, pageOf(t, other, path+"?cursor="+cursor)[list[1]]) {
				require.Contains(t, own, item, "%s shows another tenant's", c.id)
			}
		}
	})
	require.Len(t, cursors, len(paged()))
	for from, cursor := range cursors {
		for to, list := range paged() {
			log := func(id string) bool { return strings.HasSuffix(id, "deliveries") }
			if from != to && (!log(from) || !log(to)) { // the delivery log is one kind of list on three surfaces
				f.get(t, call{path: list[0]}.with(mine)+"?cursor="+cursor).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
			}
		}
	}
}
