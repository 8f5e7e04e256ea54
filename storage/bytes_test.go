package storage_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// A page of events ends before it exceeds the limit of bytes, but has at least one event. The pages together show
// each event once.
func TestEventsEndBeforeTheyAreTooLarge(t *testing.T) {
	t.Parallel()
	f := setup(t)
	data := []byte(`"` + strings.Repeat("x", 9_998) + `"`)
	for range 7 {
		must(f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.created", Data: data}))
		must(f.Publish(t.Context(), hook.Publication{TenantID: hook.DefaultTenant(), Type: "user.deleted", Data: []byte(`1`)}))
	}
	f.publish(t, "user.created")
	for _, c := range []struct {
		filter       hook.EventFilter
		limit, bytes int
		pages        []int
	}{
		{hook.EventFilter{}, 100, 1 << 20, []int{15}},
		{hook.EventFilter{}, 6, 1 << 20, []int{6, 6, 3}},
		{hook.EventFilter{Type: "user.created"}, 100, 40_000, []int{4, 3, 1}},
		{hook.EventFilter{Type: "user.created"}, 2, 40_000, []int{2, 2, 2, 2}},
		{hook.EventFilter{Type: "user.created"}, 100, 5_000, []int{1, 1, 1, 1, 1, 1, 1, 1}},
		{hook.EventFilter{Type: "user.*"}, 100, 0, []int{15}},
	} {
		seen, page := map[hook.EventID]bool{}, hook.Page{Limit: c.limit, Bytes: c.bytes}
		var pages []int
		for {
			list, next, err := f.Events(t.Context(), hook.OneTenant(hook.DefaultTenant()), c.filter, page)
			require.NoError(t, err)
			pages = append(pages, len(list))
			for i := range list {
				require.NotEmpty(t, list[i].Data)
				seen[list[i].ID] = true
			}
			if next == nil {
				break
			}
			page.Before = next
		}
		require.Equal(t, c.pages, pages, "%+v", c)
		sum := 0
		for _, n := range pages {
			sum += n
		}
		require.Len(t, seen, sum)
	}
}

// If the attempts of a delivery are too large for one log, the log has the latest ones.
func TestAttemptsEndBeforeTheyAreTooLarge(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	large := answered(500)
	large.ResponseBody, large.Manual = []byte(strings.Repeat("x", hook.MaxResponseBody)), true
	large.ResponseHeaders = http.Header{"X-Large": {strings.Repeat("x", 60<<10)}}
	f.attempt(t, id, large)
	f.exec(t, `
		insert into attempts select (jsonb_populate_record(a, jsonb_build_object('number', n))).* from attempts a, generate_series(2, 100) n`)
	list, err := f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 100, list[len(list)-1].Number)
	require.Greater(t, len(list), 40)
	require.Less(t, len(list), 60)
	require.Equal(t, 101-len(list), list[0].Number)
	f.exec(t, `delete from attempts where number > 2`)
	list, err = f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, list, 2)
}
