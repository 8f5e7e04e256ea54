package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// chain returns a webhook-hops header with n ids.
func chain(n int) map[string]string {
	ids := make([]string, 0, n)
	for i := range n {
		ids = append(ids, hook.EventID{1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, byte(i)}.String())
	}
	return map[string]string{"webhook-hops": strings.Join(ids, ", ")}
}

// A publish that comes from Grapnel's own deliveries is accepted up to a depth and keeps its chain. Beyond that depth
// it is refused and logged, on every surface.
func TestPublishesThatComeFromDeliveries(t *testing.T) {
	t.Parallel()
	with := func(header map[string]string, name, value string) map[string]string {
		header[name] = value
		return header
	}
	for name, publish := range map[string]func(t *testing.T, f *fixture, depth int) (status int, code string){
		"standard": func(t *testing.T, f *fixture, depth int) (int, string) {
			t.Helper()
			return outcome(t, f.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1}`, chain(depth)))
		},
		"batch": func(t *testing.T, f *fixture, depth int) (int, string) {
			t.Helper()
			r := f.do(t, http.MethodPost, "/v1/events/batch", batchOf(`{"type":"user.created","data":1}`), chain(depth)).results(t, 1)[0]
			if r.Error == nil {
				return r.Status, ""
			}
			return r.Status, r.Error.Code
		},
		"commenda": func(t *testing.T, f *fixture, depth int) (int, string) {
			t.Helper()
			return outcome(t, f.do(t, http.MethodPost, "/events", `{"topic":"user.created","data":1}`, chain(depth)))
		},
		"momento": func(t *testing.T, f *fixture, depth int) (int, string) {
			t.Helper()
			return outcome(t, f.do(t, http.MethodPost, topicPath("chat", "user.created"), `1`, with(chain(depth), "Content-Type", "text/plain")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			for depth := range hook.MaxHops + 1 {
				before := value[int](t, f, `select count(*) from events`)
				status, code := publish(t, f, depth)
				require.Less(t, status, 300, "%d deep: %s", depth, code)
				require.Equal(t, before+1, value[int](t, f, `select count(*) from events`))
				got := value[[]byte](t, f, `select hops from events order by id desc limit 1`)
				require.Len(t, hook.HopsOf(got), depth)
			}
			before := value[int](t, f, `select count(*) from events`)
			for _, depth := range []int{hook.MaxHops + 1, hook.MaxHops + 10} {
				status, code := publish(t, f, depth)
				require.Equal(t, []any{http.StatusUnprocessableEntity, "LOOP_DETECTED"}, []any{status, code})
			}
			require.Equal(t, before, value[int](t, f, `select count(*) from events`))
			require.Contains(t, f.log.String(), "LOOP_DETECTED")
			require.Contains(t, f.log.String(), "evt_", "the chain")
		})
	}
	f := setup(t)
	f.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1}`, map[string]string{"webhook-hops": "x"}).
		refused(t, "header.webhook-hops", "event ids")
	// The first request of an event to Momento's and Commenda's receivers has no chain.
	for _, header := range []string{"momento-signature", "commenda-x-secret"} {
		f.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1}`, map[string]string{header: "00"}).object(t, http.StatusAccepted)
		require.Len(t, hook.HopsOf(value[[]byte](t, f, `select hops from events order by id desc limit 1`)), 1, header)
	}
	// A repetition of an accepted publish is a duplicate, whatever chain it has.
	id := f.post(t, "/v1/events", `{"type":"user.created","data":1,"id":"one"}`).object(t, http.StatusAccepted)["id"]
	again := f.do(t, http.MethodPost, "/v1/events", `{"type":"user.created","data":1,"id":"one"}`, chain(9)).object(t, http.StatusAccepted)
	require.Equal(t, []any{id, true}, []any{again["id"], again["duplicate"]})
}

// outcome is an answer's status and code.
func outcome(t *testing.T, a answer) (status int, code string) {
	t.Helper()
	if a.status < http.StatusBadRequest {
		return a.status, ""
	}
	return a.status, codeOf(t, a)
}

// A webhook to the API itself would publish events in response to its own. If the API's address is known, such a
// webhook is refused, on every surface.
func TestWebhooksToTheAPIItself(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	create := func(t *testing.T, c *client, url string) []answer {
		t.Helper()
		return []answer{
			c.post(t, "/v1/webhooks", `{"url":"`+url+`","events":["user.created"]}`),
			c.post(t, "/webhooks", `{"url":"`+url+`","topics":["A"]}`),
			c.do(t, http.MethodPut, named("chat", "own"), `{"destination":{"postUrl":"`+url+`"},"topicName":"t"}`, nil),
		}
	}
	places := []string{"body.url", "body.url", "body.destination.postUrl"}
	f := setup(t, func(d *api.Deps) { d.Config.PublicURL, d.Config.AllowHTTP = "https://MÜNCHEN.test/api", true })
	for _, url := range []string{
		"https://xn--mnchen-3ya.test/topics/chat/t?token=x", "https://XN--MNCHEN-3ya.test.", "https://MÜNCHEN.test:443/x", "http://xn--mnchen-3ya.test/", "https://xn--mnchen-3ya.test:80/",
	} {
		for i, a := range create(t, f.client, url) {
			a.refused(t, places[i], "own address")
		}
	}
	for _, url := range []string{"https://xn--mnchen-3ya.test:8443/", "https://www.xn--mnchen-3ya.test/", "https://yourapp.com/"} {
		for _, a := range create(t, f.client, url) {
			require.Less(t, a.status, 300, "%s: %s", url, a.body)
		}
	}
	// An existing one can still be disabled, but not renewed.
	id := f.newWebhook(t, "user.created")
	f.exec(t, `update webhooks set url = 'https://xn--mnchen-3ya.test/'`)
	f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"active":false}`, nil).object(t, http.StatusOK)
	f.do(t, http.MethodPatch, "/v1/webhooks/"+id, `{"url":"https://xn--mnchen-3ya.test/x"}`, nil).refused(t, "body.url", "own address")

	for _, change := range []func(*api.Deps){
		func(d *api.Deps) { d.Config.PublicURL, d.Config.AllowOwnURL = "https://hooks.example", true },
		func(*api.Deps) {},
	} {
		g := setup(t, change)
		for _, a := range create(t, g.client, "https://hooks.example/") {
			require.Less(t, a.status, 300, "%s", a.body)
		}
	}
	local := setup(t, func(d *api.Deps) { d.Config.PublicURL, d.Config.AllowHTTP = "http://127.0.0.1:8080", true })
	for i, a := range create(t, local.client, "http://127.0.0.1:8080/x") {
		a.refused(t, places[i], "own address")
	}
	for _, a := range create(t, local.client, "http://127.0.0.1:9000/") {
		require.Less(t, a.status, 300, "%s", a.body)
	}
}
