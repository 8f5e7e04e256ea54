package enginetest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/internal/longtest"
)

// takenOverWithin is how long after the death of its owner an event's first attempts begin at the latest: the heartbeat
// grows old, and a sweeper looks.
const takenOverWithin = hook.DeadAfter + sweepEvery + time.Second

// At an ordinary rate each event is sent once, at its accept, whichever process accepts it. Retries are in time though
// their workflows wait for the pace, and the workflow of a delivered event has nothing left to do.
func TestNothingFails(t *testing.T) {
	t.Parallel()
	onScenario(t, func(s *scenario) {
		s.momento.behaves = answersSlowly
		for i := range 60 {
			s.standard.behaves = answersOK
			if i%5 == 0 {
				s.standard.behaves = fails
			}
			s.publish(s.processes[i%2], []string{"a", "message"}[i%2])
			s.wait(200 * time.Millisecond)
		}
		s.behave(answersOK)
		s.wait(45 * time.Second)
		for n, p := range s.publications {
			list := s.sent(n)
			require.Less(s, list[0].at.Sub(p.at), 100*time.Millisecond, n)
			if n%10 != 0 {
				require.Len(s, list, 1)
				continue
			}
			require.Len(s, list, 2)
			late := list[1].at.Sub(list[0].at) - hook.DefaultSchedule()[0]
			require.LessOrEqual(s, late, time.Second)
			require.GreaterOrEqual(s, late, time.Duration(0))
		}
		require.Less(s, s.temporal.started, 60, "events share workflows")
		done := 0
		for _, e := range s.temporal.runs {
			if in, ok := e.input.(contract.DeliverInput); ok && in.Done != nil {
				done++
			}
		}
		require.Positive(s, done)
	})
}

// A process that is killed before the commit leaves nothing.
func TestKilledBeforeTheCommit(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onScenario(t, func(s *scenario) {
		p := s.processes[0]
		lock, err := s.db.Begin(s.ctx)
		require.NoError(s, err)
		_, err = lock.Exec(s.ctx, `lock table outbox in access exclusive mode`)
		require.NoError(s, err)
		answer := make(chan error, 1)
		go func() {
			_, errs := p.store.PublishAll(p.ctx, []hook.Publication{s.newPublication("a")})
			answer <- errs[0]
		}()
		const waiting = `from pg_locks where not granted and relation = 'outbox'::regclass`
		for waits := false; !waits; {
			require.NoError(s, lock.QueryRow(s.ctx, `select exists (select `+waiting+`)`).Scan(&waits))
		}
		s.logf("%s is killed", p.name)
		p.die()
		s.dead = append(s.dead, p)
		_, err = lock.Exec(s.ctx, `select pg_terminate_backend(pid) `+waiting) // its connections end with it
		require.NoError(s, err)
		require.Error(s, <-answer)
		require.NoError(s, lock.Rollback(s.ctx))
		s.wait(time.Minute)
		require.Empty(s, s.sent(0))
		var events int
		require.NoError(s, s.db.QueryRow(s.ctx, `select count(*) from events`).Scan(&events))
		require.Zero(s, events)
	})
}

// Killed after the commit and before the request: another process sends it once.
func TestKilledBeforeTheRequest(t *testing.T) {
	t.Parallel()
	onKinds(t, func(s *scenario, kind string) {
		p := s.processes[0]
		s.barrier.close()
		n := s.publish(p, kind)
		s.until(p, "Outstanding")
		died := s.end(p)
		s.wait(hook.DeadAfter - 2*hook.HeartbeatEvery)
		require.Empty(s, s.sent(n), "nobody knows yet that the owner is dead")
		s.wait(2*hook.HeartbeatEvery + takenOverWithin)
		list := s.sent(n)
		require.Len(s, list, 1)
		require.Less(s, list[0].at.Sub(died), takenOverWithin)
		state, attempts := s.state(n)
		require.Equal(s, hook.StateSuccess, state)
		require.Equal(s, 1, attempts)
	})
}

// Killed during the request, or after it and before its record: at least once sends again, at most once does not.
func TestKilledBeforeTheRecord(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for name, during := range map[string]bool{"during the request": true, "after the request": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onKinds(t, func(s *scenario, kind string) {
				p := s.processes[0]
				var n int
				if during {
					s.behave(answersSlowly)
					n = s.publish(p, kind)
					s.wait(100 * time.Millisecond)
				} else {
					s.barrier.close()
					n = s.publish(p, kind)
					s.until(p, "Record")
				}
				require.Len(s, s.sent(n), 1)
				died := s.end(p)
				s.behave(answersOK)
				s.wait(contract.RunTimeout + takenOverWithin + time.Minute)
				list := s.sent(n)
				state, attempts := s.state(n)
				if kind == "message" {
					require.Len(s, list, 1)
					require.Equal(s, hook.StateDropped, state)
					return
				}
				require.Len(s, list, 2)
				require.Less(s, list[1].at.Sub(died), takenOverWithin)
				require.Equal(s, hook.StateSuccess, state)
				require.Equal(s, 1, attempts)
			})
		})
	}
}

// Killed after the record and before the start: the workflow that a sweeper starts finds the delivery ended.
func TestKilledBeforeTheStart(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onKinds(t, func(s *scenario, kind string) {
		p := s.processes[0]
		s.temporal.change(func() { p.cut = true })
		n := s.publish(p, kind)
		s.wait(100 * time.Millisecond)
		state, _ := s.state(n)
		require.Equal(s, hook.StateSuccess, state)
		s.end(p)
		s.wait(takenOverWithin)
		require.Len(s, s.sent(n), 1)
		s.ended(n)
	})
}

// A start that is refused, late, or whose answer is lost is made again, and no attempt is.
func TestStartsFail(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for _, f := range []startFate{startsRefused, answersLost, startsLate} {
		t.Run(string(f), func(t *testing.T) {
			t.Parallel()
			onScenario(t, func(s *scenario) {
				s.temporal.change(func() { s.temporal.starts = f })
				n := s.publish(s.processes[0], "a")
				m := s.publish(s.processes[1], "message")
				s.wait(20 * time.Second)
				s.temporal.change(func() { s.temporal.starts = startsFine })
				s.wait(time.Minute) // a refused start keeps its claim for 30 s
				require.Len(s, s.sent(n), 1)
				require.Len(s, s.sent(m), 1)
				s.ended(n)
				s.ended(m)
			})
		})
	}
}

// While Temporal is away, first attempts are made as always, and none is repeated when it is back.
func TestTemporalIsAway(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onScenario(t, func(s *scenario) {
		s.temporal.change(func() { s.temporal.away = true })
		for i := range 20 {
			s.publish(s.processes[i%2], []string{"a", "message"}[i%2])
			s.wait(3 * time.Second)
		}
		s.temporal.change(func() { s.temporal.away = false })
		s.wait(2 * time.Minute)
		for n, p := range s.publications {
			list := s.sent(n)
			require.Len(s, list, 1)
			require.Less(s, list[0].at.Sub(p.at), 100*time.Millisecond)
			s.ended(n)
		}
	})
}

// An owner that stalls before its request until others have taken over sends nothing when it wakes up.
func TestOwnerStalls(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onKinds(t, func(s *scenario, kind string) {
		p, q := s.processes[0], s.processes[1]
		s.barrier.stall(p)
		n := s.publish(p, kind)
		s.wait(hook.HeartbeatEvery + takenOverWithin)
		list := s.sent(n)
		require.Len(s, list, 1)
		require.Equal(s, q, list[0].p)
		s.barrier.wake(p)
		s.wait(time.Minute)
		require.Len(s, s.sent(n), 1)
		again := s.publish(p, kind)
		s.wait(time.Second)
		require.Len(s, s.sent(again), 1, "it owns again")
		require.True(s, s.sent(again)[0].immediate)
		require.NotEqual(s, s.publications[n].owner, s.publications[again].owner)
	})
}

// An owner that stalls right before its request, after its last look at the delivery, sends nothing when it wakes up.
func TestOwnerStallsAtTheLastMoment(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onKinds(t, func(s *scenario, kind string) {
		p, q := s.processes[0], s.processes[1]
		s.barrier.close()
		n := s.publish(p, kind)
		last := "answer to ClaimDeliveries"
		if kind == "a" {
			s.until(p, "answer to Outstanding")
			s.wait(2 * time.Second) // so it looks again
			last = "answer to Job"
		}
		s.until(p, last)
		s.barrier.openExcept(p)
		s.wait(hook.HeartbeatEvery + takenOverWithin)
		s.barrier.wake(p)
		s.wait(10 * time.Second)
		list := s.sent(n)
		if kind == "a" {
			require.Len(s, list, 1)
			require.Equal(s, q, list[0].p)
		}
		for _, r := range list { // the claim of a message was given back
			require.False(s, r.immediate)
		}
	})
}

// An owner that stalls for less than its lease goes on, and nobody else sends.
func TestOwnerStallsBriefly(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onKinds(t, func(s *scenario, kind string) {
		p := s.processes[0]
		s.barrier.stall(p)
		n := s.publish(p, kind)
		s.wait(hook.FenceAfter - hook.HeartbeatEvery - time.Second)
		s.barrier.wake(p)
		s.wait(time.Minute)
		list := s.sent(n)
		require.Len(s, list, 1)
		require.Equal(s, p, list[0].p)
		require.True(s, list[0].immediate)
	})
}

// An activity in another process leaves a request that is under way to its owner, and asks again.
func TestTaskOfAnotherWorker(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	for name, dies := range map[string]bool{"owner lives": false, "owner dies": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onKinds(t, func(s *scenario, kind string) {
				p, q := s.processes[0], s.processes[1]
				s.behave(hangs)
				n := s.publish(p, kind)
				s.wait(500 * time.Millisecond)
				s.temporal.change(func() { p.leaving = true }) // its worker takes no task
				s.wait(3 * time.Second)
				require.True(s, s.delivering()[s.publications[n].event], "the workflow does not wait for a slow request")
				s.behave(answersOK)
				if !dies {
					s.wait(time.Minute)
					require.Len(s, s.sent(n), map[string]int{"a": 2, "message": 1}[kind], "the request times out, and the retry is the other's")
					return
				}
				died := s.end(p)
				s.wait(contract.RunTimeout + takenOverWithin + time.Minute)
				list := s.sent(n)
				if kind == "message" {
					require.Len(s, list, 1)
					state, _ := s.state(n)
					require.Equal(s, hook.StateDropped, state)
					return
				}
				require.Len(s, list, 2)
				require.Equal(s, q, list[1].p)
				require.Less(s, list[1].at.Sub(died), hook.DeadAfter+2*time.Second)
			})
		})
	}
}

// A process that stops has its requests in the log, and leaves the rest to others at once.
func TestOwnerStops(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onScenario(t, func(s *scenario) {
		p := s.processes[0]
		s.behave(answersSlowly)
		sending := s.publish(p, "a")
		s.wait(100 * time.Millisecond)
		s.barrier.close()
		waiting := s.publish(p, "a")
		synctest.Wait()
		p.resting.Store(true)
		p.acts.Engine().StopImmediate()
		s.barrier.open()
		s.behave(answersOK)
		p.finish()
		p.rest()
		p.pause()
		synctest.Wait()
		s.checkStopped(p)
		stopped := s.end(p)
		s.wait(takenOverWithin)
		require.Len(s, s.sent(sending), 1)
		list := s.sent(waiting)
		require.Len(s, list, 1)
		require.Less(s, list[0].at.Sub(stopped), sweepEvery+6*time.Second, "an event is left to the starters for 5 s")
	})
}

// A publish whose answer is lost is delivered, though its owner lives and does not know of it.
func TestAnswerToAPublishIsLost(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	onKinds(t, func(s *scenario, kind string) {
		p := s.processes[0]
		in := s.newPublication(kind)
		s.must(s.clock.sync(), "setting the time")
		accepted, errs := p.store.PublishAll(context.WithoutCancel(s.ctx), []hook.Publication{in})
		require.NoError(s, errs[0])
		require.NotZero(s, accepted[0].Owner)
		s.took(p, &in, &accepted[0])
		s.wait(sweepEvery + 6*time.Second)
		require.Len(s, s.sent(numberIn(in.Data)), 1)
	})
}
