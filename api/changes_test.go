package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
)

// changes asks for changes since the cursor, which it moves on.
func (c *client) changes(t *testing.T, query string, cursor *string) bool {
	t.Helper()
	if *cursor != "" {
		query += "&since=" + *cursor
	}
	a := c.get(t, "/v1/changes?"+query)
	o := a.object(t, http.StatusOK)
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	*cursor = o["cursor"].(string)
	return o["changed"].(bool)
}

// publishSoon publishes an event a moment later, and then sends the error.
func (c *client) publishSoon(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	time.AfterFunc(50*time.Millisecond, func() {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.server.URL+"/v1/events", strings.NewReader(`{"type":"user.created","data":2}`))
		if err != nil {
			done <- err
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+c.key)
		response, err := c.server.Client().Do(r)
		if err == nil {
			err = response.Body.Close()
		}
		done <- err
	})
	return done
}

// P7: a reader hears of its own tenant's changes and of no other's.
func TestChanges(t *testing.T) {
	t.Parallel()
	f := setup(t)
	webhook := f.newWebhook(t, "user.created")
	another := f.newWebhook(t, "user.deleted")
	_, key := f.newTenant(t)
	theirs, every := f.as(key), f.naming("*")
	var own, their, all, one, two string
	readers := func() []bool {
		return []bool{
			f.changes(t, "wait=0", &own), theirs.changes(t, "wait=0", &their), every.changes(t, "wait=0", &all),
			f.changes(t, "webhook="+webhook, &one), f.changes(t, "webhook="+another, &two),
		}
	}
	// settled returns what has changed when all readers have heard of it.
	settled := func() (changed []bool) {
		changed = make([]bool, 5)
		quiet := 0
		for deadline := time.Now().Add(10 * time.Second); quiet < 5; {
			require.True(t, time.Now().Before(deadline), "it never ends")
			quiet++
			for i, c := range readers() {
				if c {
					changed[i], quiet = true, 0
				}
			}
			<-time.After(20 * time.Millisecond)
		}
		return changed
	}
	require.Equal(t, []bool{true, true, true, true, true}, readers())
	settled()
	f.do(t, http.MethodPatch, "/v1/webhooks/"+webhook, `{"description":"changed"}`, nil).object(t, http.StatusOK)
	require.Equal(t, []bool{true, false, true, true, false}, settled())
	f.publish(t, `1`)
	require.Equal(t, []bool{true, false, true, true, true}, settled(), "an event may concern any webhook")
	theirs.post(t, "/v1/webhooks", `{"url":"https://yourapp.com/webhook","events":["user.created"]}`).object(t, http.StatusCreated)
	require.Equal(t, []bool{false, true, true, false, false}, settled())

	published := f.publishSoon(t.Context())
	require.True(t, f.changes(t, "wait=25", &own), "an event ends the wait")
	require.NoError(t, <-published)
	f.api.EndPolls()
	cursor := own
	require.False(t, f.changes(t, "wait=25", &cursor) && cursor == own, "a process that stops keeps nobody waiting")

	f.get(t, "/v1/changes?since=x").problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
	f.get(t, "/v1/changes?wait=26").refused(t, "query.wait", "25")
	f.get(t, "/v1/changes?webhook=%00").refused(t, "query.webhook", "id of a webhook")
	limited := f.post(t, "/v1/api-keys", `{"name":"limited","scopes":["read"],"topics":["user.*"]}`).object(t, http.StatusCreated)
	f.as(limited["key"].(string)).get(t, "/v1/changes").problem(t, http.StatusForbidden, "PERMISSION_DENIED")
}

// faultyChanges makes Wait fail as a call of the store that it counts with: it asks the store whether something is new.
type faultyChanges struct {
	api.Changes
	store *faulty
}

func (c faultyChanges) Wait(ctx context.Context, scope hook.ChangeScope, since hook.ChangeCursor, most time.Duration) (hook.ChangeCursor, bool, error) {
	if err := c.store.next("Wait"); err != nil {
		return since, false, err
	}
	return c.Changes.Wait(ctx, scope, since, most)
}
