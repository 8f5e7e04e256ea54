package crash_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
	"grapnel/internal/hook"
)

// The same seed gives the same plan, and another seed another plan.
func TestPlanFollowsFromTheSeed(t *testing.T) {
	t.Parallel()
	for _, d := range crash.Damages() {
		plan := crash.Plan(7, d, time.Minute, false)
		require.Equal(t, plan, crash.Plan(7, d, time.Minute, false), d)
		if d == crash.None {
			require.Empty(t, plan)
			continue
		}
		require.NotEqual(t, plan, crash.Plan(8, d, time.Minute, false), d)
		for i, s := range plan {
			require.Equal(t, i+1, s.Number)
			if crash.Of(d).Stages == 0 {
				require.Less(t, s.At, time.Minute)
			}
			require.NotEqual(t, crash.All, s.Damage)
		}
	}
}

// A plan of all kinds has each kind once before any kind comes again.
func TestPlanOfAllHasEach(t *testing.T) {
	t.Parallel()
	mixed := crash.Mixed()
	plan := crash.Plan(1, crash.All, 5*time.Minute, false)
	require.Greater(t, len(plan), 2*len(mixed))
	var first []crash.Damage
	for _, s := range plan[:len(mixed)] {
		first = append(first, s.Damage)
	}
	require.ElementsMatch(t, mixed, first)
}

// A plan has each stage once; the short form has shorter stages and smaller backlogs.
func TestPlanOfStages(t *testing.T) {
	t.Parallel()
	for _, d := range crash.Staged() {
		long, short := crash.Plan(3, d, time.Second, false), crash.Plan(3, d, time.Second, true)
		require.Len(t, long, crash.Of(d).Stages, d)
		require.Len(t, short, len(long), d)
		seen := map[int]bool{}
		for i, s := range long {
			require.Equal(t, d, s.Damage)
			require.Equal(t, s.Stage, short[i].Stage)
			require.GreaterOrEqual(t, s.For, short[i].For)
			require.GreaterOrEqual(t, s.Size, short[i].Size)
			require.True(t, s.For > short[i].For || s.Size > short[i].Size || d == crash.LeapClock, d)
			seen[s.Stage] = true
		}
		require.Len(t, seen, len(long), d)
	}
	orders := map[string]bool{}
	for seed := range uint64(20) {
		order := ""
		for _, s := range crash.Plan(seed, crash.LockRows, time.Second, false) {
			order += string(rune('0' + s.Stage))
		}
		orders[order] = true
	}
	require.Len(t, orders, 6, "the seed shuffles them")
}

// The plan in turn has the first stage of each kind, in the short form; it does not run by default.
func TestPlanInTurn(t *testing.T) {
	t.Parallel()
	kinds := map[crash.Damage]bool{}
	for _, s := range crash.Plan(1, crash.InTurn, time.Second, false) {
		require.Zero(t, s.Stage)
		kinds[s.Damage] = true
	}
	require.Len(t, kinds, crash.Of(crash.InTurn).Stages)
	require.Subset(t, kinds, map[crash.Damage]bool{crash.Freeze: true, crash.LockRows: true, crash.EndWebhooks: true})
	require.NotContains(t, crash.Default(), crash.InTurn)
	require.Subset(t, crash.Default(), []crash.Damage{crash.LoseNamespace, crash.FewConnections})
}

// The plan for two connections has the same kinds of strikes as the plan of all kinds.
func TestPlanOfFewConnections(t *testing.T) {
	t.Parallel()
	for _, s := range crash.Plan(1, crash.FewConnections, 5*time.Minute, false) {
		require.Contains(t, crash.Mixed(), s.Damage)
		require.Zero(t, crash.Of(s.Damage).Stages)
	}
}

// Only the rows about first attempts run API and worker in one process.
func TestDamagesOfTheProcessWithBothRoles(t *testing.T) {
	t.Parallel()
	for _, d := range crash.Default() {
		require.Equal(t, d == crash.AwayTemporal || d == crash.StallOwner, crash.Of(d).Together, d)
	}
	require.Subset(t, crash.Default(), []crash.Damage{crash.AwayTemporal, crash.StallOwner})
	require.Greater(t, crash.Plan(1, crash.StallOwner, time.Second, true)[0].For, hook.DeadAfter+2*time.Second, "longer than the lease")
}

func TestParseDamages(t *testing.T) {
	t.Parallel()
	list, err := crash.ParseDamages([]string{"worker", "all"})
	require.NoError(t, err)
	require.Equal(t, []crash.Damage{crash.KillWorker, crash.All}, list)
	_, err = crash.ParseDamages([]string{"wroker"})
	require.ErrorContains(t, err, `damage "wroker": want one of none, api, worker`)
}

// Spec 1: the subscribed webhooks match; only the standard profile has patterns.
func TestWebhooksMatch(t *testing.T) {
	t.Parallel()
	tests := []struct {
		eventType, cache string
		want             []string
	}{
		{"crash.order.created", "", []string{"orders", "everything"}},
		{"crash.order.paid", "", []string{"orders", "everything", "payments"}},
		{"crash.user.created", "", []string{"everything", "users"}},
		{"CRASH.VALIDATION.FAILED", "", []string{"validations"}},
		{"chatter", "crash", []string{"chat-1", "chat-2"}},
		{"chatter", "", nil},
		{"crash.order.created", "crash", nil},
	}
	for _, test := range tests {
		var got []string
		for _, w := range crash.Webhooks() {
			if w.Matches(test.eventType, test.cache) {
				got = append(got, w.Name)
			}
		}
		require.Equal(t, test.want, got, test.eventType)
	}
}

// The load contains every way of publishing, and the endpoints every way of answering.
func TestLoadHasEverything(t *testing.T) {
	t.Parallel()
	kinds := map[[2]bool]int{}
	for _, p := range crash.Load(1, 500) {
		kinds[[2]bool{p.Key != "", p.Cache != ""}]++
		require.Equal(t, p.Ref, crash.RefOf([]byte(crash.DataOf(p.Ref))))
		require.Empty(t, crash.RefOf([]byte(" "+crash.DataOf(p.Ref))), "what was changed is not what was published")
	}
	require.Len(t, kinds, 3, "%v", kinds)
	large := crash.DataOf("large.1.0")
	require.Greater(t, len(large), 90<<10)
	require.Less(t, len(large), 100<<10)
	require.Equal(t, "large.1.0", crash.RefOf([]byte(large)))
	require.Equal(t, "large.1.0", crash.RefOf([]byte(strings.ReplaceAll(large, "x", ""))), "as the store is read")
	require.Empty(t, crash.RefOf([]byte(strings.Replace(large, "x", "", 1))))
	for _, w := range crash.Webhooks() {
		statuses := map[int]int{}
		never := 0
		for _, p := range crash.Load(1, 1000) {
			statuses[w.Outcome(1, p.Ref, 1)]++
			if w.Outcome(1, p.Ref, 5) != http.StatusOK {
				never++
			}
		}
		require.Equal(t, w.Hang > 0, statuses[0] > 0, w.Name)
		require.Equal(t, w.Flaky+w.Poison > 0, statuses[500] > 0, w.Name)
		require.Equal(t, w.Poison > 0, never > 0, w.Name)
		require.Greater(t, statuses[200], 800, w.Name)
	}
}

// proxied returns a proxy in front of a server, and a client that uses each connection once.
func proxied(t *testing.T) (*crash.Proxy, func(timeout time.Duration) (int, error), chan string) {
	t.Helper()
	came := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { came <- r.URL.Path }))
	t.Cleanup(server.Close)
	p, err := crash.NewProxy(t.Context(), server.Listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { require.ErrorIs(t, errors.Join(p.Close(), net.ErrClosed), net.ErrClosed) })
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return p, func(timeout time.Duration) (int, error) {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Addr()+"/x", http.NoBody)
		require.NoError(t, err)
		response, err := client.Do(r)
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		_, err = io.Copy(io.Discard, response.Body)
		return response.StatusCode, err
	}, came
}

func TestProxy(t *testing.T) {
	t.Parallel()
	const soon, long = 100 * time.Millisecond, 10 * time.Second
	t.Run("passes", func(t *testing.T) {
		t.Parallel()
		_, post, came := proxied(t)
		status, err := post(long)
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Equal(t, "/x", <-came)
	})
	t.Run("stalls, and loses what was given up", func(t *testing.T) {
		t.Parallel()
		p, post, came := proxied(t)
		p.Set(crash.Stall)
		_, err := post(soon)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		p.Set(crash.Pass)
		status, err := post(long)
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Len(t, came, 1, "the one that was given up did not come")
	})
	t.Run("stalls, and hands on what still waits", func(t *testing.T) {
		t.Parallel()
		p, post, came := proxied(t)
		p.Set(crash.Stall)
		time.AfterFunc(soon, func() { p.Set(crash.Pass) })
		status, err := post(long)
		require.NoError(t, err)
		require.Equal(t, 200, status)
		require.Len(t, came, 1)
	})
	t.Run("resets", func(t *testing.T) {
		t.Parallel()
		p, post, came := proxied(t)
		p.Set(crash.Reset)
		_, err := post(long)
		require.Error(t, err)
		require.True(t, errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.EOF), "%v", err)
		require.Empty(t, came)
	})
	t.Run("loses answers", func(t *testing.T) {
		t.Parallel()
		p, post, came := proxied(t)
		p.Set(crash.HalfOpen)
		_, err := post(soon)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, "/x", <-came)
	})
}

// A balancer sends to the ready APIs, and to another one only if a connection is refused.
func TestBalancer(t *testing.T) {
	t.Parallel()
	type api struct {
		*httptest.Server
		ready  chan bool // contains one element while the API is ready
		status int
		asked  int
	}
	start := func(status int) *api {
		a := &api{status: status, ready: make(chan bool, 1)}
		a.ready <- true
		a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" {
				a.asked++
				w.WriteHeader(a.status)
				return
			}
			select {
			case <-a.ready:
				a.ready <- true
			default:
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(a.Close)
		return a
	}
	one, two := start(503), start(202)
	b := crash.NewBalancer([]string{one.URL, two.URL}, "key")
	go b.Run(t.Context())
	statuses := map[int]int{}
	for range 10 {
		status, _, err := b.Post(t.Context(), "/x")
		require.NoError(t, err)
		statuses[status]++
	}
	require.Equal(t, map[int]int{503: 5, 202: 5}, statuses, "in turn, and a 503 is not tried elsewhere")

	<-one.ready // not ready from now on
	require.Eventually(t, func() bool {
		before := one.asked
		for range 4 {
			_, _, err := b.Post(t.Context(), "/x")
			require.NoError(t, err)
		}
		return one.asked == before
	}, 10*time.Second, 10*time.Millisecond)

	// The client may not have noticed yet that its connections are closed.
	two.Close()
	require.Eventually(t, func() bool {
		status, _, err := b.Post(t.Context(), "/x")
		return err == nil && status == 503 // it is not ready, but accepts connections
	}, 10*time.Second, 10*time.Millisecond)
	one.Close()
	require.Eventually(t, func() bool {
		_, _, err := b.Post(t.Context(), "/x")
		return errors.Is(err, syscall.ECONNREFUSED)
	}, 10*time.Second, 10*time.Millisecond)
}
