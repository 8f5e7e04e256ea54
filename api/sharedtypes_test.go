package api_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// typesOf returns the names of the tenant's catalogue without the built-in types.
func (c *client) typesOf(t *testing.T, query string) (names []string) {
	t.Helper()
	for _, e := range c.get(t, "/v1/event-types"+query).list(t, "event_types") {
		if e["built_in"] == false {
			names = append(names, e["name"].(string))
		}
	}
	return names
}

const invoicePaid = "/v1/event-types/invoice.paid"

// K6: what a platform key puts without naming a tenant is in every tenant's catalogue, on all surfaces. A change of it
// holds for all tenants at once.
func TestSharedEventTypes(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.as(f.newKey(t, f.customer(t, "acme"), hook.ScopeAdmin))
	for range 2 { // the second time from the publish cache
		acme.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).refused(t, "body.type", "not a known event type")
	}
	put := f.do(t, "PUT", invoicePaid, `{"description":"Paid","group":"billing","schema":{"type":"integer"}}`, nil).object(t, http.StatusCreated)
	require.Equal(t, true, put["shared"])
	require.Equal(t, "billing", put["group"])
	for _, c := range []*client{acme, f.client, f.client.naming("acme"), f.client.naming("default")} {
		require.Equal(t, put, c.ownType(t))
		for range 2 {
			c.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).object(t, http.StatusAccepted)
			c.post(t, "/v1/events", `{"type":"invoice.paid","data":"1"}`).refused(t, "body/data", "")
		}
		require.EqualValues(t, 1, c.post(t, "/v1/events/batch", `{"events":[{"type":"invoice.paid","data":1},{"type":"invoice.paid","data":"1"}]}`).object(t, 202)["accepted"])
		c.post(t, "/events", `{"topic":"invoice.paid","data":"1"}`).refused(t, "body/data", "")
		c.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/","events":["invoice.paid"]}`).object(t, http.StatusCreated)
	}
	f.do(t, "PUT", invoicePaid, `{"schema":{"type":"string"}}`, nil).object(t, http.StatusOK)
	for _, c := range []*client{acme, f.client.naming("acme"), f.client} {
		c.post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).refused(t, "body/data", "")
		c.post(t, "/v1/events", `{"type":"invoice.paid","data":"1"}`).object(t, http.StatusAccepted)
	}
	f.do(t, "PUT", invoicePaid, "", nil).object(t, http.StatusOK)
	acme.post(t, "/v1/events", `{"type":"invoice.paid","data":{}}`).object(t, http.StatusAccepted)
	entries := f.entries(t, "&target=invoice.paid")
	require.Len(t, entries, 3)
	require.Equal(t, "event_type.created", entries[2]["action"])
	require.Empty(t, acme.entries(t, "&target=invoice.paid"))
}

// K6: a tenant can't redefine a shared name. Only platform keys that name no tenant change it.
func TestSharedNamesAreTaken(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.as(f.newKey(t, f.customer(t, "acme"), hook.ScopeAdmin))
	f.do(t, "PUT", invoicePaid, `{"description":"Paid"}`, nil).object(t, http.StatusCreated)
	for _, c := range []*client{
		acme, f.client.naming("acme"), f.client.naming("default"), f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin)),
	} {
		for _, method := range []string{"PUT", "DELETE"} {
			p := c.do(t, method, invoicePaid, "", nil).problem(t, http.StatusConflict, "EVENT_TYPE_SHARED")
			require.Contains(t, p.Detail, "invoice.paid is shared")
		}
	}
	f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeWebhooks, hook.ScopePlatform)).do(t, "PUT", invoicePaid, "", nil).problem(t, http.StatusForbidden, "PERMISSION_DENIED")
	admin := f.as(f.newKey(t, hook.DefaultTenant(), hook.ScopeAdmin, hook.ScopePlatform))
	require.Equal(t, "Bezahlt", admin.do(t, "PUT", invoicePaid, `{"description":"Bezahlt"}`, nil).object(t, http.StatusOK)["description"])
	require.Equal(t, "Bezahlt", acme.ownType(t)["description"])
}

// K6: a type that a tenant had before its name was shared stays the tenant's own, unless it is the same.
func TestOwnTypesOfBefore(t *testing.T) {
	t.Parallel()
	f := setup(t)
	same, other := f.customer(t, "same"), f.customer(t, "other")
	for _, tenant := range []string{"same", "other", "default"} {
		f.client.naming(tenant).do(t, "PUT", invoicePaid, `{"description":"Paid","schema":{"type":"integer"}}`, nil).object(t, http.StatusCreated)
	}
	f.client.naming("other").do(t, "PUT", invoicePaid, `{"schema":{"type":"string"}}`, nil).object(t, http.StatusOK)
	// The publish cache knows the types as they were.
	publish := func(tenant, data string) answer {
		return f.client.naming(tenant).post(t, "/v1/events", `{"type":"invoice.paid","data":`+data+`}`)
	}
	publish("same", `1`).object(t, http.StatusAccepted)
	publish("other", `"1"`).object(t, http.StatusAccepted)

	f.do(t, "PUT", invoicePaid, `{"description":"Paid","schema":{"type":"integer"}}`, nil).object(t, http.StatusOK) // the one of default
	require.Equal(t, []any{"shared", "copies_deleted"}, members(t, f.entries(t, "&target=invoice.paid")[0]))
	require.Zero(t, value[int](t, f, `select count(*) from event_types where tenant_id = $1`, [16]byte(same)))
	require.Equal(t, true, f.client.naming("same").ownType(t)["shared"])
	require.Equal(t, false, f.client.naming("other").ownType(t)["shared"])
	require.Len(t, f.client.naming("other").typesOf(t, ""), 1, "one stands in place of the other")
	publish("same", `1`).object(t, http.StatusAccepted)
	publish("other", `"1"`).object(t, http.StatusAccepted)
	publish("other", `1`).refused(t, "body/data", "")

	// It goes on to be the tenant's, until the tenant deletes it, even while a webhook subscribes.
	require.Equal(t, "Mine", f.client.naming("other").do(t, "PUT", invoicePaid, `{"description":"Mine","schema":{"type":"string"}}`, nil).object(t, http.StatusOK)["description"])
	f.naming("other").newWebhook(t, "invoice.paid")
	require.Equal(t, http.StatusNoContent, f.client.naming("other").do(t, "DELETE", invoicePaid, "", nil).status)
	publish("other", `"1"`).refused(t, "body/data", "")
	publish("other", `1`).object(t, http.StatusAccepted)
	f.client.naming("other").do(t, "PUT", invoicePaid, "", nil).problem(t, http.StatusConflict, "EVENT_TYPE_SHARED")
	require.Equal(t, 1, value[int](t, f, `select count(*) from event_types where tenant_id = $1 or name = 'invoice.paid'`, [16]byte(other)))
}

// members returns the names of an audit entry's members.
func members(t *testing.T, entry map[string]any) (names []any) {
	t.Helper()
	for _, c := range objects(t, entry["changes"]) {
		names = append(names, c["member"])
	}
	return names
}

// K6: a type can't be deleted while a webhook subscribes to it by name, of any tenant if the type is shared.
func TestDeleteEventType(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.as(f.newKey(t, f.customer(t, "acme"), hook.ScopeAdmin))
	const own = "/v1/event-types/order.made"
	acme.do(t, "PUT", own, "", nil).object(t, http.StatusCreated)
	f.do(t, "PUT", invoicePaid, "", nil).object(t, http.StatusCreated)
	subscribe := func(c *client, event string) string {
		return c.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/","events":["`+event+`"]}`).object(t, http.StatusCreated)["id"].(string)
	}
	subscribe(acme, "order.*")
	subscribe(acme, "invoice.*")
	subscribe(acme, "*")
	first, second := subscribe(acme, "order.made"), subscribe(acme, "order.made")
	theirs := subscribe(acme, "invoice.paid")

	p := acme.do(t, "DELETE", own, "", nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.Equal(t, fmt.Sprintf("2 webhooks subscribe to order.made by name, among them %s", first), p.Detail)
	p = f.do(t, "DELETE", invoicePaid, "", nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	require.Equal(t, fmt.Sprintf("a webhook subscribes to invoice.paid by name: %s", theirs), p.Detail)
	f.do(t, "DELETE", own, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	acme.do(t, "DELETE", "/v1/event-types/user.created", "", nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")
	f.do(t, "DELETE", "/v1/event-types/webhook.disabled", "", nil).problem(t, http.StatusConflict, "FAILED_PRECONDITION")

	for _, id := range []string{first, second} {
		require.Equal(t, http.StatusNoContent, acme.do(t, "DELETE", "/v1/webhooks/"+id, "", nil).status)
	}
	acme.do(t, "PATCH", "/v1/webhooks/"+theirs, `{"events":["user.created"]}`, nil).object(t, http.StatusOK)
	acme.post(t, "/v1/events", `{"type":"order.made","data":1}`).object(t, http.StatusAccepted)
	f.client.naming("acme").post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).object(t, http.StatusAccepted)
	require.Equal(t, http.StatusNoContent, acme.do(t, "DELETE", own, "", nil).status)
	require.Equal(t, http.StatusNoContent, f.do(t, "DELETE", invoicePaid, "", nil).status)
	require.Empty(t, acme.typesOf(t, ""))
	acme.post(t, "/v1/events", `{"type":"order.made","data":1}`).refused(t, "body.type", "not a known event type")
	f.client.naming("acme").post(t, "/v1/events", `{"type":"invoice.paid","data":1}`).refused(t, "body.type", "not a known event type")
	acme.do(t, "DELETE", own, "", nil).problem(t, http.StatusNotFound, "NOT_FOUND")
	require.Equal(t, "event_type.deleted", acme.entries(t, "&target=order.made")[0]["action"])
	require.Equal(t, "event_type.deleted", f.entries(t, "&target=invoice.paid")[0]["action"])
}

// K6: deprecated types work as before. A list can be of a group, or of those that are deprecated or not.
func TestGroupsAndDeprecation(t *testing.T) {
	t.Parallel()
	f := setup(t)
	acme := f.as(f.newKey(t, f.customer(t, "acme"), hook.ScopeAdmin))
	f.do(t, "PUT", invoicePaid, `{"group":"billing"}`, nil).object(t, http.StatusCreated)
	f.do(t, "PUT", "/v1/event-types/invoice.made", `{"group":"billing","deprecated":true}`, nil).object(t, http.StatusCreated)
	acme.do(t, "PUT", "/v1/event-types/zeta", `{"group":"billing"}`, nil).object(t, http.StatusCreated)
	acme.do(t, "PUT", "/v1/event-types/alpha", `{"deprecated":true}`, nil).object(t, http.StatusCreated)

	require.Equal(t, []string{"alpha", "invoice.made", "invoice.paid", "zeta"}, acme.typesOf(t, ""))
	require.Equal(t, []string{"invoice.made", "invoice.paid", "zeta"}, acme.typesOf(t, "?group=billing"))
	require.Equal(t, []string{"alpha", "invoice.made"}, acme.typesOf(t, "?deprecated=true"))
	require.Equal(t, []string{"invoice.paid", "zeta"}, acme.typesOf(t, "?group=billing&deprecated=false"))
	require.Len(t, acme.get(t, "/v1/event-types?deprecated=false").list(t, "event_types"), 14, "with the built-in ones")
	require.Len(t, acme.get(t, "/v1/event-types?group=billing").list(t, "event_types"), 3)
	var paged []string
	for cursor := ""; ; {
		page := acme.get(t, "/v1/event-types?group=billing&limit=1"+cursor).object(t, http.StatusOK)
		for _, e := range objects(t, page["event_types"]) {
			paged = append(paged, e["name"].(string))
		}
		next, ok := page["next_cursor"].(string)
		if !ok {
			break
		}
		cursor = "&cursor=" + next
	}
	require.Equal(t, []string{"invoice.made", "invoice.paid", "zeta"}, paged)

	acme.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/","events":["alpha","invoice.made"]}`).object(t, http.StatusCreated)
	for _, name := range []string{"alpha", "invoice.made"} {
		require.EqualValues(t, 1, acme.post(t, "/v1/events", `{"type":"`+name+`","data":1}`).object(t, http.StatusAccepted)["deliveries"])
	}
	kept := f.do(t, "PUT", "/v1/event-types/invoice.made", `{"description":"x"}`, nil).object(t, http.StatusOK)
	require.Equal(t, "billing", kept["group"])
	require.Equal(t, true, kept["deprecated"])
	changed := f.do(t, "PUT", "/v1/event-types/invoice.made", `{"group":"","deprecated":false}`, nil).object(t, http.StatusOK)
	require.NotContains(t, changed, "group")
	require.Equal(t, false, changed["deprecated"])

	for body, location := range map[string]string{
		`{"group":"` + strings.Repeat("é", 65) + `"}`: "body.group", `{"group":"a\u0000"}`: "body.group", `{"group":1}`: "body.group",
		`{"deprecated":"yes"}`: "body.deprecated", `{"shared":true}`: "body.shared",
	} {
		acme.do(t, "PUT", "/v1/event-types/zeta", body, nil).refused(t, location, "")
	}
	acme.get(t, "/v1/event-types?group=%00").refused(t, "query.group", "control characters")
	acme.get(t, "/v1/event-types?deprecated=1").refused(t, "query.deprecated", "")
	require.Equal(t, "é", acme.do(t, "PUT", "/v1/event-types/zeta", `{"group":"é"}`, nil).object(t, http.StatusOK)["group"])
}
