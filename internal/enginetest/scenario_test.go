package enginetest_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// scenario is a short sequence with a fixed order: events of typeA go to a webhook with at-least-once deliveries,
// and messages to one with at-most-once deliveries.
type scenario struct {
	*world
	*testing.T
	standard, momento *webhook
}

// onScenario runs a scenario with two processes that own first attempts. Then it ends all failures, and checks that
// everything that was accepted ends.
func onScenario(t *testing.T, play func(s *scenario)) {
	t.Helper()
	address := database(t)
	synctest.Test(t, func(t *testing.T) {
		s := &scenario{world: newWorld(t, address, plan{processes: 2, memory: 64 << 20}), T: t}
		defer s.close()
		s.create(&webhook{name: "standard", profile: hook.ProfileStandard}, []string{typeA}, 0)
		s.create(&webhook{name: "momento", profile: hook.ProfileMomento, cache: cacheName}, []string{topicName}, 0)
		s.standard, s.momento = s.webhooks[0], s.webhooks[1]
		s.wait(hook.HeartbeatEvery / 2)
		play(s)
		s.check(nil)
		s.recover()
		s.wait(35 * time.Second) // claims end
		s.check(nil)
		if left := s.left(time.Now()); left > 0 {
			s.failf("deliveries have not ended", "%d left", left)
		}
		s.checkDone()
	})
}

// wait lets time pass.
func (s *scenario) wait(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // skipped time
	synctest.Wait()
}

// publish publishes one event of a kind by a process, and returns its number.
func (s *scenario) publish(p *process, kind string) int {
	in := s.newPublication(kind)
	s.accept(p, []hook.Publication{in})
	return numberIn(in.Data)
}

// behave sets the behaviour of both receivers.
func (s *scenario) behave(b behaviour) {
	s.receivers.mu.Lock()
	defer s.receivers.mu.Unlock()
	s.standard.behaves, s.momento.behaves = b, b
}

// sent returns the requests of a publication.
func (s *scenario) sent(n int) (list []*request) {
	s.receivers.mu.Lock()
	defer s.receivers.mu.Unlock()
	for _, r := range s.receivers.requests {
		if r.publication == n {
			list = append(list, r)
		}
	}
	return list
}

// until lets operations pass the barrier until one of that process and that name is held, or time is over.
func (s *scenario) until(p *process, what string) {
	for range 1000 {
		synctest.Wait()
		s.barrier.mu.Lock()
		held := slices.ContainsFunc(s.barrier.held, func(h *heldCall) bool { return h.p == p && h.what == what })
		s.barrier.mu.Unlock()
		if held {
			return
		}
		s.barrier.release(0, 1, nil)
		s.wait(opTime)
	}
	s.failf("a process does not come to that operation", "%s", what)
}

// end ends a process as SIGKILL does, and opens the barrier.
func (s *scenario) end(p *process) time.Time {
	s.logf("%s is killed", p.name)
	p.die()
	s.dead = append(s.dead, p)
	s.barrier.open()
	synctest.Wait()
	return time.Now()
}

// state returns the state of the only delivery of a publication, and its attempts.
func (s *scenario) state(n int) (state hook.DeliveryState, attempts int) {
	s.must(s.db.QueryRow(s.ctx, `select state, attempts from deliveries where event_id = $1`, [16]byte(s.publications[n].event)).
		Scan((*string)(&state), &attempts), "reading a delivery")
	return state, attempts
}

// kinds are both guarantees.
var kinds = map[string]string{"at least once": "a", "at most once": "message"}

// onKinds runs a scenario for both guarantees; for one of them, chosen by the test's name, unless long tests are on.
func onKinds(t *testing.T, play func(s *scenario, kind string)) {
	t.Helper()
	for name, kind := range kinds {
		if !longtest.On() && (len(t.Name())%2 == 0) != (kind == "a") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onScenario(t, func(s *scenario) { play(s, kind) })
		})
	}
}

// ended requires that the workflow of a publication has ended and that the outbox has forgotten it.
func (s *scenario) ended(n int) {
	var waiting bool
	event := s.publications[n].event
	require.NoError(s, s.db.QueryRow(s.ctx, `select exists (select from outbox where event_id = $1)`, [16]byte(event)).Scan(&waiting))
	require.False(s, waiting)
	require.Positive(s, s.temporal.started)
	require.False(s, s.delivering()[event])
}
