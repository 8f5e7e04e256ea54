package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/longtest"
)

// One tenant with 10,000 webhooks (1,200 in the short form): they are created and listed page by page, and an event for all of them is stored
// with a delivery for each, within the time and the memory of one request. The test runs alone, because it counts the
// allocations of the process.
func TestManyWebhooks(t *testing.T) { //nolint:paralleltest // see above
	longtest.Only(t)
	manyWebhooks := longtest.Size(1_200, 10_000)
	f := setup(t)
	begin := time.Now()
	var makers errgroup.Group
	makers.SetLimit(8)
	for i := range manyWebhooks {
		makers.Go(func() error {
			body := fmt.Sprintf(`{"url":"https://yourapp.com/%d","events":["user.created","a%d.*"]}`, i, i)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.server.URL+"/v1/webhooks", bytes.NewReader([]byte(body)))
			if err != nil {
				return err
			}
			r.Header.Set("Authorization", "Bearer "+f.key)
			r.Header.Set("Content-Type", "application/json")
			response, err := f.server.Client().Do(r)
			if err != nil {
				return err
			}
			defer response.Body.Close()
			if text, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusCreated {
				return fmt.Errorf("%d: %s %w", response.StatusCode, text, err)
			}
			return nil
		})
	}
	require.NoError(t, makers.Wait())
	t.Logf("made in %v", time.Since(begin))

	begin = time.Now()
	seen := map[string]bool{}
	for path, pages := "/v1/webhooks?limit=100", 0; path != ""; pages++ {
		page := f.get(t, path).object(t, http.StatusOK)
		for _, w := range objects(t, page["webhooks"]) {
			seen[w["id"].(string)] = true
		}
		path = ""
		if next, more := page["next_cursor"].(string); more {
			path = "/v1/webhooks?limit=100&cursor=" + next
		}
		require.Less(t, pages, manyWebhooks/100+1)
	}
	require.Len(t, seen, manyWebhooks)
	t.Logf("listed in %v", time.Since(begin))

	before := allocated()
	begin = time.Now()
	event := f.post(t, "/v1/events", `{"type":"user.created","data":{"id":"user_123"}}`).object(t, http.StatusAccepted)
	took := time.Since(begin)
	require.EqualValues(t, manyWebhooks, event["deliveries"])
	require.Equal(t, manyWebhooks, value[int](t, f, `select count(*)::int from deliveries`))
	require.Len(t, f.dispatched.events(), 1)
	t.Logf("published in %v, allocating %d KiB", took, (allocated()-before)>>10)
	require.Less(t, allocated()-before, uint64(64<<20), "bytes allocated for one event")

	begin = time.Now()
	detail := f.get(t, "/v1/events/"+event["id"].(string)).object(t, http.StatusOK)
	require.Len(t, detail["deliveries"], 1000, "what an answer shows is bounded")
	require.Empty(t, detail["not_delivered_to"])
	t.Logf("shown in %v", time.Since(begin))
}

// allocated returns how many bytes have been allocated since the process began.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
