package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

const repeatedType = "trial.repeat"

// repeating returns a fixture, the dependencies of its API, and a type with a schema that all objects satisfy.
func repeating(t *testing.T) (*fixture, *api.Deps) {
	t.Helper()
	var deps api.Deps
	f := setup(t, func(d *api.Deps) { deps = *d })
	f.do(t, http.MethodPut, "/v1/event-types/"+repeatedType, `{"schema":{"type":"object"}}`, nil).object(t, http.StatusCreated)
	f.newWebhook(t, repeatedType)
	return f, &deps
}

// repeatedEvent returns the body of a publish, of 3 kB. member is the surface's name of the type.
func repeatedEvent(member, id string, n int) string {
	body := fmt.Sprintf(`{%q:%q,"data":{"n":%d,"pad":%q}`, member, repeatedType, n, strings.Repeat("a", 3000))
	if id != "" {
		body += fmt.Sprintf(`,"id":%q`, id)
	}
	return body + "}"
}

// S8: a repeat under the same id is a duplicate, whatever has changed since it was accepted, in single, batch and
// Commenda publishes. Other content is a conflict, and a new publish is refused for its own mistakes.
func TestRepeatsAreDuplicatesWhateverHasChanged(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(t *testing.T, f *fixture, deps *api.Deps) *client
		// status is the status of a new publish. Topics are free-form, so a topic that no type has is no mistake there.
		status, topicStatus int
	}{
		"the schema": {func(t *testing.T, f *fixture, _ *api.Deps) *client {
			t.Helper()
			f.do(t, http.MethodPut, "/v1/event-types/"+repeatedType, `{"schema":{"type":"object","required":["other"]}}`, nil).object(t, http.StatusOK)
			return f.client
		}, http.StatusUnprocessableEntity, http.StatusUnprocessableEntity},
		"the size limit": {func(t *testing.T, f *fixture, deps *api.Deps) *client {
			t.Helper()
			smaller := *deps
			smaller.Config.MaxBody = 2000
			c, _ := serve(t, smaller)
			return c.as(f.key)
		}, http.StatusRequestEntityTooLarge, http.StatusRequestEntityTooLarge},
		"the topics of the key": {func(t *testing.T, f *fixture, _ *api.Deps) *client {
			t.Helper()
			key := f.post(t, "/v1/api-keys", `{"name":"k","scopes":["publish"],"topics":["user.*"]}`).object(t, http.StatusCreated)
			return f.as(key["key"].(string))
		}, http.StatusForbidden, http.StatusForbidden},
		"the catalogue": {func(t *testing.T, f *fixture, _ *api.Deps) *client {
			t.Helper()
			f.exec(t, `delete from event_types`)
			return f.client
		}, http.StatusUnprocessableEntity, http.StatusAccepted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, deps := repeating(t)
			header := map[string]string{"Idempotency-Key": "three"}
			single := f.post(t, "/v1/events", repeatedEvent("type", "one", 1)).object(t, http.StatusAccepted)
			inBatch := f.batch(t, repeatedEvent("type", "two", 1))[0].Event
			onTopic := f.do(t, http.MethodPost, "/events", repeatedEvent("topic", "", 1), header).object(t, http.StatusAccepted)["data"].(map[string]any)
			f.post(t, "/v1/events", repeatedEvent("type", "", 1)).object(t, http.StatusAccepted) // key and type are known now
			dispatched := f.dispatched.events()

			changed := c.change(t, f, deps)
			duplicate := func(first, got map[string]any) {
				t.Helper()
				require.Equal(t, true, got["duplicate"])
				delete(got, "duplicate")
				require.Equal(t, first, got, "the same answer")
			}
			duplicate(single, changed.post(t, "/v1/events", repeatedEvent("type", "one", 1)).object(t, http.StatusAccepted))
			duplicate(onTopic, changed.do(t, http.MethodPost, "/events", repeatedEvent("topic", "", 1), header).object(t, http.StatusAccepted)["data"].(map[string]any))
			results := changed.batch(t, repeatedEvent("type", "one", 1), repeatedEvent("type", "two", 1), repeatedEvent("type", "one", 2), repeatedEvent("type", "new", 1))
			duplicate(single, results[0].Event)
			duplicate(inBatch, results[1].Event)
			require.Equal(t, []any{http.StatusConflict, "ALREADY_EXISTS"}, []any{results[2].Status, results[2].Error.Code})
			require.Equal(t, c.status, results[3].Status)

			changed.post(t, "/v1/events", repeatedEvent("type", "one", 2)).problem(t, http.StatusConflict, "ALREADY_EXISTS")
			changed.do(t, http.MethodPost, "/events", repeatedEvent("topic", "", 2), header).problem(t, http.StatusConflict, "ALREADY_EXISTS")
			require.Equal(t, c.status, changed.post(t, "/v1/events", repeatedEvent("type", "new", 1)).status)
			require.Equal(t, c.status, changed.post(t, "/v1/events", repeatedEvent("type", "", 1)).status)
			require.Equal(t, c.topicStatus, changed.post(t, "/events", repeatedEvent("topic", "new", 1)).status)
			if c.topicStatus != http.StatusAccepted {
				require.Equal(t, dispatched, f.dispatched.events(), "a duplicate is not dispatched")
			}
		})
	}
}

// A key that is not valid any more has no duplicates either.
func TestRepeatWithARevokedKey(t *testing.T) {
	t.Parallel()
	f, _ := repeating(t)
	text := f.newKey(t, hook.DefaultTenant(), hook.ScopePublish)
	c := f.as(text)
	c.post(t, "/v1/events", repeatedEvent("type", "one", 1)).object(t, http.StatusAccepted)
	f.do(t, http.MethodPut, "/v1/event-types/"+repeatedType, `{"schema":{"required":["other"]}}`, nil).object(t, http.StatusOK)
	c.post(t, "/v1/events", repeatedEvent("type", "one", 1)).object(t, http.StatusAccepted)
	f.exec(t, `update api_keys set revoked_at = now() where hash = sha256($1::bytea)`, []byte(text))
	c.post(t, "/v1/events", repeatedEvent("type", "one", 1)).problem(t, http.StatusUnauthorized, "UNAUTHENTICATED")
}

// While the store is unavailable, a repeat can't be recognized, which is no refusal.
func TestRepeatThatCannotBeLookedUp(t *testing.T) {
	t.Parallel()
	away := &unrepeated{}
	f := setup(t, func(d *api.Deps) { away.Store, d.Store = d.Store, away })
	const unknown = `{"type":"user.create","data":1,"id":"a"}`
	f.post(t, "/v1/events", unknown).problem(t, http.StatusServiceUnavailable, "UNAVAILABLE")
	results := f.batch(t, unknown, `{"type":"user.created","data":1,"id":"b"}`, `{"type":"user.create","data":1}`)
	require.Equal(t, []int{503, 202, 422}, []int{results[0].Status, results[1].Status, results[2].Status})
	require.Equal(t, 2, away.asked, "once for each request, and not for what is stored")
	f.post(t, "/v1/events", `{"type":"user.created","data":1,"id":"b"}`).object(t, http.StatusAccepted)
	f.post(t, "/v1/events", `{"type":"user.created","data":2,"id":"b"}`).problem(t, http.StatusConflict, "ALREADY_EXISTS")
	f.post(t, "/v1/events", `{"type":"user.create","data":1}`).refused(t, "body.type", "")
	require.Equal(t, 2, away.asked)
}

// unrepeated is a store whose look-up of accepted events fails.
type unrepeated struct {
	api.Store
	asked int
}

func (s *unrepeated) Repeated(context.Context, []hook.Publication) ([]hook.Repeat, error) {
	s.asked++
	return nil, hook.Unavailable("the store", errors.New(marker))
}
