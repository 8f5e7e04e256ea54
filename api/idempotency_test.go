package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
)

func keyed(key string) map[string]string { return map[string]string{"Idempotency-Key": key} }

// The header may be a string of RFC 9651, which has the same meaning without the quotes.
func TestQuotedIdempotencyKey(t *testing.T) {
	t.Parallel()
	f := setup(t)
	const body = `{"type":"user.created","data":1}`
	for given, key := range map[string]string{
		`order-1`: `order-1`, `"order-1"`: `order-1`, `"a \"b\" \\c"`: `a "b" \c`,
		`"open`: `"open`, `open"`: `open"`, `"a"b"`: `"a"b"`, `"a\b"`: `"a\b"`, `"a\"`: `"a\"`, `"`: `"`,
		`"` + strings.Repeat("a", 255) + `"`: strings.Repeat("a", 255),
	} {
		got := f.do(t, http.MethodPost, "/v1/events", body, keyed(given)).object(t, http.StatusAccepted)
		require.Equal(t, key, got["idempotency_key"], given)
		id, err := json.Marshal(key)
		require.NoError(t, err)
		same := f.post(t, "/v1/events", fmt.Sprintf(`{"type":"user.created","data":1,"id":%s}`, id)).object(t, http.StatusAccepted)
		require.Equal(t, []any{got["id"], true}, []any{same["id"], same["duplicate"]}, given)
		both := f.do(t, http.MethodPost, "/v1/events", fmt.Sprintf(`{"type":"user.created","data":1,"id":%s}`, id), keyed(given))
		require.Equal(t, got["id"], both.object(t, http.StatusAccepted)["id"], given)
	}
	for _, bad := range []string{`""`, `"` + strings.Repeat("a", 256) + `"`} {
		f.do(t, http.MethodPost, "/v1/events", body, keyed(bad)).refused(t, "header.Idempotency-Key", "1 to 255")
	}
	first := f.do(t, http.MethodPost, "/events", `{"topic":"A","data":1}`, keyed(`"reg-1"`)).object(t, http.StatusAccepted)
	again := f.do(t, http.MethodPost, "/events", `{"topic":"A","data":1}`, keyed(`reg-1`)).object(t, http.StatusAccepted)
	require.Equal(t, first["data"].(map[string]any)["id"], again["data"].(map[string]any)["id"])
}

// The key of a batch applies to each event that has none of its own. If the batch is sent again, stored events are
// duplicates and the others are stored.
func TestIdempotencyKeyOfABatch(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newWebhook(t, "*")
	const path = "/v1/events/batch"
	batch := batchOf(`{"type":"user.created","data":1}`, `{"type":"user.created","data":1}`, `{"type":"user.create","data":1}`, `{"type":"user.created","data":1,"id":"own"}`)
	first := f.do(t, http.MethodPost, path, batch, keyed(`"batch-1"`)).results(t, 4)
	for i, own := range map[int]bool{0: false, 1: false, 3: true} {
		require.NotContains(t, first[i].Event, "duplicate")
		require.Equal(t, own, first[i].Event["idempotency_key"] == "own", "it shows what its client has given it: %v", first[i].Event)
	}
	require.NotEqual(t, first[0].Event["id"], first[1].Event["id"])

	mended := strings.Replace(batch, "user.create\"", "user.deleted\"", 1)
	again := f.do(t, http.MethodPost, path, mended, keyed("batch-1")).results(t, 4)
	for _, i := range []int{0, 1, 3} {
		require.Equal(t, []any{first[i].Event["id"], true}, []any{again[i].Event["id"], again[i].Event["duplicate"]})
	}
	require.NotContains(t, again[2].Event, "duplicate")
	require.Equal(t, 4, value[int](t, f, `select count(*) from events`))
	require.Len(t, f.dispatched.events(), 4)

	other := f.do(t, http.MethodPost, path, batchOf(`{"type":"user.created","data":2}`), keyed("batch-1")).results(t, 1)
	require.Equal(t, http.StatusConflict, other[0].Status)
	f.do(t, http.MethodPost, path, batch, keyed(strings.Repeat("a", 256))).refused(t, "header.Idempotency-Key", "1 to 255")
	// In another batch, and without a key, it is another event.
	for _, header := range []map[string]string{keyed("batch-2"), nil} {
		require.NotContains(t, f.do(t, http.MethodPost, path, batchOf(`{"type":"user.created","data":1}`), header).results(t, 1)[0].Event, "duplicate")
	}
}

// The id of a Commenda publish is its idempotency key as well.
func TestIDOfACommendaPublish(t *testing.T) {
	t.Parallel()
	f := setup(t)
	body := func(id string) string { return `{"topic":"A","data":{"a":1,"b":2},"id":` + id + `}` }
	first := f.post(t, "/events", body(`"reg-1"`)).object(t, http.StatusAccepted)["data"].(map[string]any)
	for _, a := range []answer{
		f.post(t, "/events", body(`"reg-1"`)), f.do(t, http.MethodPost, "/events", `{"topic":"A","data":{"b":2,"a":1}}`, keyed("reg-1")),
		f.do(t, http.MethodPost, "/events", body(`"reg-1"`), keyed("reg-1")),
	} {
		again := a.object(t, http.StatusAccepted)["data"].(map[string]any)
		require.Equal(t, []any{first["id"], true}, []any{again["id"], again["duplicate"]})
	}
	f.do(t, http.MethodPost, "/events", body(`"reg-1"`), keyed("reg-2")).refused(t, "header.Idempotency-Key", "differs")
	f.post(t, "/events", body(`""`)).refused(t, "body.id", "1 to 255")
	f.post(t, "/events", body(`7`)).refused(t, "body.id", "expected string")
	require.NotContains(t, f.post(t, "/events", body(`null`)).object(t, http.StatusAccepted)["data"], "duplicate")
	require.Equal(t, 2, value[int](t, f, `select count(*) from events`))
}

// A message with an idempotency key is published once.
func TestIdempotencyKeyOfAMessage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	header := map[string]string{"Idempotency-Key": "m-1", "Content-Type": "text/plain"}
	path := topicPath("chat", "mo-nuts")
	for range 2 {
		require.Equal(t, http.StatusNoContent, f.do(t, http.MethodPost, path, "hello", header).status)
	}
	require.Equal(t, []string{"hello"}, texts(t, f.get(t, path+"?sequence_number=1")))
	f.do(t, http.MethodPost, path, "other", header).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	f.say(t, "chat", "mo-nuts", "hello")
	require.Equal(t, []string{"hello", "hello"}, texts(t, f.get(t, path+"?sequence_number=1")))
}

// A request with an idempotency key creates one webhook and has the same answer each time, with the secret, even if the
// webhook has changed.
func TestWebhooksAreMadeOnceUnderAKey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path, body, reordered, other string
		status                       int
	}{
		"standard": {
			"/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"],"headers":{"A":"1","B":"2"}}`,
			`{"headers":{"B":"2","A":"1"},"events":["user.created"],"description":null,"url":"https://yourapp.com/webhook"}`,
			`{"url":"https://yourapp.com/webhook","events":["user.created"],"secret":"whsec_abc123"}`, http.StatusCreated,
		},
		"commenda": {
			"/webhooks", `{"url":"https://yourapp.com/webhook","topics":["A"]}`, `{"topics":["A"],"url":"https://yourapp.com/webhook"}`,
			`{"url":"https://yourapp.com/webhook","topics":["B"]}`, http.StatusOK,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			first := f.do(t, http.MethodPost, c.path, c.body, keyed("w-1"))
			first.object(t, c.status)
			id := value[[16]byte](t, f, `select id from webhooks`)
			f.exec(t, `update webhooks set url = 'https://elsewhere.example', description = 'changed'`)
			for _, body := range []string{c.body, c.reordered} {
				again := f.do(t, http.MethodPost, c.path, body, keyed(`"w-1"`))
				require.Equal(t, c.status, again.status)
				require.Equal(t, string(first.body), string(again.body))
			}
			require.Equal(t, 1, value[int](t, f, `select count(*) from webhooks`))
			f.do(t, http.MethodPost, c.path, c.other, keyed("w-1")).problem(t, http.StatusConflict, "ALREADY_EXISTS")

			// A repeat is answered even if it would be refused now.
			f.exec(t, `delete from webhooks where id = $1`, id)
			f.blocked.url = "https://yourapp.com/webhook"
			require.Equal(t, string(first.body), string(f.do(t, http.MethodPost, c.path, c.body, keyed("w-1")).body))
			f.do(t, http.MethodPost, c.path, c.body, keyed("w-2")).refused(t, "body.url", "not an allowed destination")
			f.blocked.url = ""
			f.do(t, http.MethodPost, c.path, c.body, keyed("w-2")).object(t, c.status) // its key was free
			f.do(t, http.MethodPost, c.path, c.body, nil).object(t, c.status)
			f.do(t, http.MethodPost, c.path, c.body, keyed(`""`)).refused(t, "header.Idempotency-Key", "1 to 255")
			require.Equal(t, 2, value[int](t, f, `select count(*) from webhooks`))
			_, key := f.newTenant(t)
			theirs := f.as(key).do(t, http.MethodPost, c.path, c.body, keyed("w-1"))
			theirs.object(t, c.status)
			require.NotEqual(t, string(first.body), string(theirs.body), "another tenant's key is another")
		})
	}
}

// Operations that do their work again when a request is repeated refuse an idempotency key.
func TestIdempotencyKeysThatAreNotHonoured(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.do(t, http.MethodPut, "/v1/event-types/invoice.paid", "", nil)
	honoured := []string{"publish-event", "publish-events", "publish-commenda-event", "publish-topic-message", "create-webhook", "create-commenda-webhook"}
	same := []string{"update-commenda-webhook", "pause-replay", "resume-replay", "cancel-replay", "diagnose-delivery"}
	for _, c := range calls() {
		ids := f.resources(t)
		a := f.do(t, c.method, c.with(ids), c.filled(ids), keyed("k-"+c.id))
		switch {
		case c.method != http.MethodPost, slices.Contains(honoured, c.id), slices.Contains(same, c.id):
			require.Equal(t, c.status, a.status, "%s: %s", c.id, a.body)
		default:
			a.refused(t, "header.Idempotency-Key", "is not known here")
		}
	}
}
