package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/storage"
)

// A publish that would make more deliveries than allowed is refused, and so is a whole batch, on each surface.
func TestTooManyDeliveries(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, storage.Limits{Deliveries: 3})
	for range 2 {
		f.newWebhook(t, "user.created")
	}
	publish := func(n int) answer {
		return f.post(t, "/v1/events/batch", `{"events":[`+strings.Repeat(`{"type":"user.created","data":1},`, n)+`{"type":"no.such","data":1}]}`)
	}
	require.EqualValues(t, 1, publish(1).object(t, http.StatusAccepted)["accepted"])
	p := publish(2).problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	require.Contains(t, p.Detail, "more than 3 deliveries")
	for range 2 {
		f.newWebhook(t, "user.created")
	}
	f.post(t, "/v1/events", `{"type":"user.created","data":1}`).problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	f.post(t, "/events", `{"topic":"user.created","data":1}`).problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	publish(1).problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	require.Equal(t, 1, value[int](t, f, `select count(*)::int from events`))
	require.NotContains(t, f.log.String(), "request failed", "it is no fault of ours")
}

// The number of a tenant's event types is bounded.
func TestTooManyEventTypes(t *testing.T) {
	t.Parallel()
	f := setupLimited(t, storage.Limits{EventTypes: 1})
	f.do(t, http.MethodPut, "/v1/event-types/a.b", "", nil).object(t, http.StatusCreated)
	p := f.do(t, http.MethodPut, "/v1/event-types/a.c", "", nil).problem(t, http.StatusUnprocessableEntity, "LIMIT_EXCEEDED")
	require.Contains(t, p.Detail, "--max-event-types")
	f.do(t, http.MethodPut, "/v1/event-types/a.b", "", nil).object(t, http.StatusOK)
}
