package cli

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// asked starts an API that gives every request the same answer and keeps the last path and query.
func asked(t *testing.T, body string) (flag string, last *url.URL) {
	t.Helper()
	last = &url.URL{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*last = *r.URL
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	return "--url=" + server.URL, last
}

const searchedDelivery = `{"id":"del_1","event_id":"evt_1","webhook_id":"hook_1","event_type":"user.created","status":"failed","status_code":500,"attempts":1,
	"error":"HTTP 500 Internal Server Error","created_at":"2026-01-15T12:30:00Z","next_attempt_at":"2026-01-15T12:30:30.125Z"}`

// A2: every flag of deliveries list is a filter of the request.
func TestSearchDeliveries(t *testing.T) {
	t.Parallel()
	flag, last := asked(t, `{"deliveries":[`+searchedDelivery+`],"next_cursor":"AXMB"}`)
	r := command(t, "", "deliveries", "list", "--webhook=hook_1", "--status=failed,canceled", "--status-class=5xx", "--error-class=status", "--event-type=user.*",
		"--reference=order_1", "--final=false", "--undelivered", "--since=2026-01-15T12:00:00Z", "--until=2026-01-16T12:00:00Z", "--limit=5", "--cursor=x", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "/v1/deliveries", last.Path)
	require.Equal(t, url.Values{
		"webhook_id": {"hook_1"}, "status": {"failed,canceled"}, "status_class": {"5xx"}, "error_class": {"status"}, "event_type": {"user.*"}, "reference": {"order_1"},
		"final": {"false"}, "undelivered": {"true"}, "since": {"2026-01-15T12:00:00Z"}, "until": {"2026-01-16T12:00:00Z"}, "limit": {"5"}, "cursor": {"x"},
	}, last.Query())
	require.Equal(t, "more entries: --cursor=AXMB\n", r.err)
	require.Contains(t, r.out, "del_1  failed  500   1         user.created  hook_1   evt_1")

	r = command(t, "", "deliveries", "list", flag)
	require.NoError(t, r.failed)
	require.Equal(t, url.Values{"limit": {"20"}}, last.Query())
	require.Error(t, command(t, "", "deliveries", "list", "--status=done", flag).failed)
}

// A1: events are listed with their references.
func TestListEvents(t *testing.T) {
	t.Parallel()
	flag, last := asked(t, `{"events":[{"id":"evt_1","type":"user.created","created_at":"2026-01-15T12:30:00Z","data":1,"delivery_count":2,"references":["order_1","cus\u001b9"]}],"next_cursor":null}`)
	r := command(t, "", "events", "list", "--type=user.*", "--reference=order_1", "--since=2026-01-15T12:00:00Z", "--until=2026-01-16T12:00:00Z", flag)
	require.NoError(t, r.failed)
	require.Equal(t, url.Values{
		"type": {"user.*"}, "reference": {"order_1"}, "since": {"2026-01-15T12:00:00Z"}, "until": {"2026-01-16T12:00:00Z"}, "limit": {"20"},
	}, last.Query())
	require.Equal(t, "ID     TYPE          WEBHOOKS  REFERENCES      CREATED\nevt_1  user.created  2         order_1, cus·9  2026-01-15 12:30:00Z\n", r.out)
}

// A3: events why shows who got an event, who did not, and why.
func TestEventsWhy(t *testing.T) {
	t.Parallel()
	flag, last := asked(t, `{"id":"evt_1","type":"user.created","created_at":"2026-01-15T12:30:00Z","data":1,"delivery_count":2,"references":["order_1"],
		"deliveries":[`+searchedDelivery+`,
			{"id":"del_2","event_id":"evt_1","webhook_id":"hook_0","event_type":"user.created","status":"success","attempts":1,"created_at":"2026-01-15T12:30:00Z","delivered_at":"2026-01-15T12:30:01Z"}],
		"not_delivered_to":[{"webhook_id":"hook_2","reason":"not subscribed"}]}`)
	r := command(t, "", "events", "why", "evt_1", flag)
	require.NoError(t, r.failed)
	require.Equal(t, "/v1/events/evt_1", last.Path)
	require.Equal(t, `id          evt_1
type        user.created
references  order_1
created     2026-01-15 12:30:00Z

WEBHOOK  STATUS   WHY                                                                DELIVERY
hook_0   success  delivered 2026-01-15 12:30:01Z                                     del_2
hook_1   failed   HTTP 500 Internal Server Error; next attempt 2026-01-15 12:30:30Z  del_1
hook_2   none     not subscribed                                                     `+"\n", r.out)
	flag, _ = asked(t, `{"id":"evt_1","type":"user.created","created_at":"2026-01-15T12:30:00Z","data":1,"delivery_count":0,"deliveries":[],"not_delivered_to":[]}`)
	require.Contains(t, command(t, "", "events", "why", "evt_1", flag).out, "no webhook at that time\n")
}
