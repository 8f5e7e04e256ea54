package api_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// A2: one list has the deliveries of all webhooks, and every filter narrows it.
func TestSearchDeliveries(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	require.Equal(t, map[string]any{"deliveries": []any{}, "next_cursor": nil}, f.get(t, "/v1/deliveries").object(t, http.StatusOK))
	one := f.newWebhook(t, "user.created")
	succeeded := f.deliver(t, one, success())
	failed := f.deliver(t, one, failure(500))
	over := f.deliver(t, one, failure(404), failure(404), failure(404), failure(404), timeout())
	f.do(t, http.MethodDelete, "/v1/webhooks/"+one, "", nil)
	two := f.newWebhook(t, "*")
	f.post(t, "/v1/events", `{"type":"file.uploaded","data":1,"references":["order_1"]}`).object(t, http.StatusAccepted)
	all := ids(f.get(t, "/v1/deliveries").list(t, "deliveries"))
	require.Len(t, all, 4)
	pending := all[0]
	require.Equal(t, []string{pending, over, failed, succeeded}, all)
	require.Equal(t, all, f.pages(t, "/v1/deliveries", "deliveries", 3, 4))
	for query, want := range map[string][]string{
		"webhook_id=" + two:                     {pending},
		"webhook_id=" + one:                     {over, failed, succeeded},
		"status=pending":                        {pending},
		"status=success,pending":                {pending, succeeded},
		"status=canceled":                       {failed},
		"status=failed":                         {over},
		"status_class=2xx":                      {succeeded},
		"status_class=5xx":                      {failed},
		"status_class=4xx&final=true":           {over},
		"error_class=timeout":                   {over},
		"error_class=timeout&webhook_id=" + two: {},
		"error_class=tls":                       {},
		"event_type=user.*":                     {over, failed, succeeded},
		"event_type=file.uploaded":              {pending},
		"reference=order_1":                     {pending},
		"reference=order_2":                     {},
		"final=true":                            {over, failed, succeeded},
		"final=false":                           {pending},
		"undelivered=true":                      {over, failed},
		"undelivered=false":                     all,
		"since=2999-01-01T00:00:00Z":            {},
		"until=2999-01-01T00:00:00Z":            all,
	} {
		require.Equal(t, want, ids(f.get(t, "/v1/deliveries?"+query).list(t, "deliveries")), query)
	}
	_, key := f.newTenant(t)
	require.Empty(t, f.as(key).get(t, "/v1/deliveries").list(t, "deliveries"), "another tenant's")
}

// A2: filters that are wrong, or that contradict each other, are refused by name.
func TestSearchDeliveriesRefuses(t *testing.T) {
	t.Parallel()
	f := setup(t)
	for query, location := range map[string]string{
		"status=done":                                           "query.status[0]",
		"status_class=6xx":                                      "query.status_class",
		"error_class=gone":                                      "query.error_class",
		"final=maybe":                                           "query.final",
		"reference=" + url.QueryEscape("a\tb"):                  "query.reference",
		"event_type=" + url.QueryEscape("\t"):                   "query.event_type",
		"webhook_id=hook_1":                                     "query.webhook_id",
		"webhook_id=" + hook.WebhookID{1}.String():              "query.webhook_id",
		"status=success&undelivered=true":                       "query.undelivered",
		"status=pending&final=true":                             "query.final",
		"status=success,pending&error_class=tls":                "query.error_class",
		"final=false&undelivered=true":                          "query.undelivered",
		"status_class=2xx&error_class=tls":                      "query.error_class",
		"since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": "query.since",
	} {
		f.get(t, "/v1/deliveries?"+query).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, location)
	}
	f.get(t, "/v1/deliveries?cursor=AWUBmrHU6q9ekr-Xz5m6pYVu").problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
}

// A2: a key that is limited to topics finds the deliveries of these topics only.
func TestSearchDeliveriesOfALimitedKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	f.publish(t, "1")
	f.post(t, "/v1/events", `{"type":"file.uploaded","data":1}`).object(t, http.StatusAccepted)
	key := f.post(t, "/v1/api-keys", `{"name":"files","scopes":["read"],"topics":["file.*"]}`).object(t, http.StatusCreated)["key"].(string)
	found := f.as(key).get(t, "/v1/deliveries").list(t, "deliveries")
	require.Len(t, found, 1)
	require.Equal(t, "file.uploaded", found[0]["event_type"])
}

// A1: references are kept with the event, each once, and find it. They are part of its content.
func TestPublishWithReferences(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	body := func(references string) string {
		return `{"type":"user.created","data":{"a":1},"id":"one","references":` + references + `}`
	}
	id := f.post(t, "/v1/events", body(`["order_4711","cus 9 é","order_4711"]`)).object(t, http.StatusAccepted)["id"].(string)
	want := []any{"order_4711", "cus 9 é"}
	require.Equal(t, want, f.get(t, "/v1/events/"+id).object(t, http.StatusOK)["references"])
	again := f.post(t, "/v1/events", body(`["order_4711","cus 9 é"]`)).object(t, http.StatusAccepted)
	require.Equal(t, true, again["duplicate"])
	f.post(t, "/v1/events", body(`["order_4711"]`)).problem(t, http.StatusConflict, "ALREADY_EXISTS")

	results := objects(t, f.post(t, "/v1/events/batch", `{"events":[
		{"type":"user.created","data":1,"references":["order_4711"]},
		{"type":"user.created","data":1,"references":[]},
		{"type":"user.created","data":1,"references":["ok",""]}]}`).object(t, http.StatusAccepted)["results"])
	require.EqualValues(t, http.StatusUnprocessableEntity, results[2]["status"])
	require.Contains(t, fmt.Sprint(results[2]["error"]), "body.events[2].references[1]")
	second := results[0]["event"].(map[string]any)["id"].(string)
	plain := results[1]["event"].(map[string]any)["id"].(string)
	require.NotContains(t, f.get(t, "/v1/events/"+plain).object(t, http.StatusOK), "references")

	require.Equal(t, []string{second, id}, ids(f.get(t, "/v1/events?reference=order_4711").list(t, "events")))
	require.Equal(t, []string{id}, ids(f.get(t, "/v1/events?reference="+url.QueryEscape("cus 9 é")).list(t, "events")))
	require.Empty(t, f.get(t, "/v1/events?reference=order_4711&type=file.*").list(t, "events"))
	f.get(t, "/v1/events?reference="+url.QueryEscape("\n")).problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, "query.reference")

	eleven := `["` + strings.Join(strings.Split("abcdefghijk", ""), `","`) + `"]`
	for references, location := range map[string]string{
		eleven: "body.references", `["` + strings.Repeat("é", 129) + `"]`: "body.references[0]", `["a","b\u0007"]`: "body.references[1]",
		`"order_1"`: "body.references", `[1]`: "body.references[0]", `["a","\u200b"]`: "body.references[1]",
	} {
		f.post(t, "/v1/events", `{"type":"user.created","data":1,"references":`+references+`}`).
			problem(t, http.StatusUnprocessableEntity, "INVALID_ARGUMENT").at(t, location)
	}
	f.post(t, "/v1/events", `{"type":"user.created","data":1,"references":["`+strings.Repeat("é", 128)+`"]}`).object(t, http.StatusAccepted)
}
