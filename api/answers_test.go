package api_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/api"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// most is the largest size of a list's answer, with the text around its entries.
const most = 4<<20 + 64<<10

// Lists end before their answers are too large and have a cursor for the rest. Every entry is shown once.
func TestListsEndBeforeTheyAreTooLarge(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t, func(d *api.Deps) { d.Config.MaxBody = 1 << 20 })
	tenant := [16]byte(hook.DefaultTenant())
	for range 6 {
		f.post(t, "/v1/events", `{"type":"user.created","data":"`+strings.Repeat("x", 1_000_000)+`"}`).object(t, http.StatusAccepted)
	}
	f.exec(t, `insert into event_types (tenant_id, name, description, schema, example)
		select $1, 'large.' || lpad(n::text, 4, '0'), '', convert_to('"' || rpad('', 16000, 'x') || '"', 'UTF8'), convert_to('"' || rpad('', 16000, 'x') || '"', 'UTF8')
		from generate_series(1, 200) n`, tenant)
	for surface, body := range map[string]string{
		"/webhooks": `{"url":"https://yourapp.com/%[1]d%[2]s","topics":[%[3]s],"name":"%[2]s"}`,
		"":          `{"destination":{"postUrl":"https://yourapp.com/%[1]d"},"topicName":"t"}`,
	} {
		if surface == "" {
			f.do(t, http.MethodPut, named("own", "first"), fmt.Sprintf(body, 0), nil).object(t, http.StatusOK)
			continue
		}
		topics := make([]string, 100)
		for i := range topics {
			topics[i] = fmt.Sprintf(`"%s%d"`, strings.Repeat("t", 100), i)
		}
		f.post(t, surface, fmt.Sprintf(body, 0, strings.Repeat("n", 900), strings.Join(topics, ","))).object(t, http.StatusOK)
	}
	copies := func(profile string, n int) {
		f.exec(t, `insert into webhooks select (jsonb_populate_record(w, jsonb_build_object('id', gen_random_uuid(), 'name', w.name || case when w.name = '' then '' else n::text end))).*
			from webhooks w, generate_series(1, $2::int) n where profile = $1`, profile, n)
	}
	copies("commenda", 500)
	copies("momento", 4000)
	for path, c := range map[string]struct {
		member string
		count  int
		least  int // pages
	}{
		"/v1/events?limit=100":            {"events", 6, 2},
		"/v1/event-types":                 {"event_types", 212, 2},
		"/v1/event-types?limit=7":         {"event_types", 212, 31},
		"/v1/webhooks?limit=100":          {"webhooks", 4502, 46},
		"/webhooks":                       {"data.webhooks", 501, 2},
		"/webhooks?limit=200":             {"data.webhooks", 501, 3},
		"/caches/own/webhooks":            {"webhooks", 4001, 2},
		"/caches/own/webhooks?limit=1000": {"webhooks", 4001, 5},
	} {
		seen, pages := 0, 0
		names := map[string]bool{}
		for next := ""; ; {
			a := f.get(t, path+next)
			require.Less(t, len(a.body), most, path)
			got := a.object(t, http.StatusOK)
			member, within := c.member, got
			if rest, ok := strings.CutPrefix(member, "data."); ok {
				member, within = rest, got["data"].(map[string]any)
			}
			for _, e := range objects(t, within[member]) {
				seen++
				names[fmt.Sprint(e["id"], e["name"])] = true
			}
			pages++
			cursor, _ := within["next_cursor"].(string)
			if strings.HasPrefix(path, "/caches/") {
				cursor, _ = within["nextCursor"].(string)
			}
			if cursor == "" {
				break
			}
			next = "?cursor=" + cursor
			if strings.Contains(path, "?") {
				next = "&cursor=" + cursor
			}
		}
		require.Equal(t, c.count, seen, path)
		require.Len(t, names, c.count, path)
		require.GreaterOrEqual(t, pages, c.least, path)
	}
	for _, path := range []string{"/v1/event-types", "/webhooks", "/caches/own/webhooks"} {
		for _, cursor := range []string{"x", "AWUBmrHU6q9ekr-Xz5m6pYVu", "AXl_Kio"} {
			f.get(t, path+"?cursor="+cursor).problem(t, http.StatusBadRequest, "INVALID_ARGUMENT")
		}
	}
}

// A list that is shown whole keeps its published form if it fits into one answer.
func TestWholeListsKeepTheirShape(t *testing.T) {
	t.Parallel()
	f := setup(t)
	f.newCommendaWebhook(t, "A")
	f.newMomentoWebhook(t)
	for path, members := range map[string][]string{
		"/v1/event-types": {"event_types"}, "/caches/own/webhooks": {"webhooks"}, "/webhooks": {"data", "message"},
	} {
		got := f.get(t, path).object(t, http.StatusOK)
		require.Len(t, got, len(members), path)
		if data, ok := got["data"].(map[string]any); ok {
			got = data
			require.Len(t, got, 1)
		}
	}
}

// blockingStore is a store whose lists of events wait until they are released.
type blockingStore struct {
	api.Store
	inside, most atomic.Int64
	enter        chan struct{}
	goOn         chan struct{}
}

func (s *blockingStore) Events(ctx context.Context, of hook.TenantFilter, f hook.EventFilter, p hook.Page) ([]hook.Event, *[16]byte, error) {
	n := s.inside.Add(1)
	defer s.inside.Add(-1)
	for old := s.most.Load(); n > old && !s.most.CompareAndSwap(old, n); old = s.most.Load() {
	}
	s.enter <- struct{}{}
	<-s.goOn
	return s.Store.Events(ctx, of, f, p)
}

// Of thirty lists at once, only as many are read as fit into the budget. The others wait for their turn, and all are
// answered. Operations without large answers don't wait.
func TestLargeAnswersTakeTurns(t *testing.T) {
	t.Parallel()
	store := &blockingStore{enter: make(chan struct{}, 30), goOn: make(chan struct{})}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store = store
		d.Config.Memory, d.Config.Timeout = 512<<20, time.Minute
	})
	f.publish(t, `1`)
	_, other := f.newTenant(t)
	var all sync.WaitGroup
	answers := make(chan answer, 30)
	for i := range 30 {
		c := f.client
		if i%2 == 0 {
			c = f.as(other)
		}
		ask := c.prepare(t, http.MethodGet, "/v1/events", "")
		all.Go(func() { answers <- ask() })
	}
	for range 4 { // two of each tenant
		<-store.enter
	}
	require.Eventually(t, func() bool {
		_, _, waiting := f.api.AnswerMemory()
		return waiting == 26
	}, time.Minute, time.Millisecond)
	used, size, _ := f.api.AnswerMemory()
	require.EqualValues(t, 64<<20, size)
	require.Equal(t, size, used)
	f.publish(t, `2`)
	close(store.goOn)
	all.Wait()
	close(answers)
	for a := range answers {
		require.Equal(t, http.StatusOK, a.status, "%s", a.body)
	}
	require.LessOrEqual(t, store.most.Load(), int64(4))
	require.Eventually(t, func() bool {
		used, _, waiting := f.api.AnswerMemory()
		return used+waiting == 0
	}, time.Minute, time.Millisecond)
}

// A request that has waited too long for its turn is answered with an error that says when to try again.
func TestTooManyLargeAnswers(t *testing.T) {
	t.Parallel()
	store := &blockingStore{enter: make(chan struct{}, 30), goOn: make(chan struct{})}
	f := setup(t, func(d *api.Deps) {
		store.Store = d.Store
		d.Store = store
		d.Config.Timeout = time.Second
		d.Config.Memory = 1
	})
	first := f.prepare(t, http.MethodGet, "/v1/events", "")
	done := make(chan answer, 1)
	go func() { done <- first() }()
	<-store.enter
	a := f.get(t, "/v1/event-types")
	require.Contains(t, a.problem(t, http.StatusServiceUnavailable, "UNAVAILABLE").Detail, "too many large answers")
	require.NotEmpty(t, a.header.Get("Retry-After"))
	close(store.goOn)
	<-done
	f.get(t, "/v1/event-types").object(t, http.StatusOK)
}
