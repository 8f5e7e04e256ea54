package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"grapnel/cmd/dev/crash"
)

// Strike implements crash.Stack.
func (s *crashStack) Strike(ctx context.Context, st *crash.Strike) (killed int, err error) {
	switch st.Damage {
	case crash.KillAPI:
		return s.killSome(ctx, st, s.apis)
	case crash.KillWorker:
		return s.killSome(ctx, st, s.workers)
	case crash.KillBoth:
		return s.kill(ctx, st.For, append(append([]*childProcess{}, s.apis...), s.workers...)...)
	case crash.KillTemporal:
		return s.kill(ctx, st.For, s.temporal)
	case crash.LoseTemporal:
		return s.loseTemporal(ctx, st)
	case crash.KillBackend:
		return s.killBackend(ctx, st)
	case crash.StopPostgres:
		return s.stopPostgres(ctx, st)
	case crash.FillConnections:
		return 0, s.fillConnections(ctx, st)
	case crash.FillDisk:
		return 0, s.fillDisk(ctx, st)
	case crash.BreakDatabase:
		return 0, crash.Break(ctx, s.database, st)
	case crash.JumpClock:
		return 0, s.jumpClock(ctx, st)
	case crash.Roll:
		return s.roll(ctx, st)
	case crash.LoseNamespace:
		return 0, s.loseNamespace(ctx, st)
	case crash.StopTemporal:
		return 0, s.stopTemporal(ctx, st)
	case crash.CutTemporal:
		return 0, s.cutTemporal(ctx, st)
	case crash.Freeze:
		return 0, s.freeze(ctx, st)
	case crash.FillMemory:
		return s.fillMemory(ctx, st)
	case crash.LeapClock:
		return 0, s.leapClock(ctx, st)
	case crash.None, crash.All, crash.BreakReceivers, crash.LockRows, crash.EndWebhooks, crash.FewConnections, crash.InTurn:
	}
	return 0, fmt.Errorf("%s is no strike of the stack's", st.Damage)
}

// killSome kills the first, the second, or both.
func (s *crashStack) killSome(ctx context.Context, st *crash.Strike, two []*childProcess) (int, error) {
	if pick := st.Choose(3); pick < 2 {
		two = two[pick : pick+1]
	}
	return s.kill(ctx, st.For, two...)
}

// kill kills processes with SIGKILL, leaves them dead for a while, and returns when
// they are back. Those that are down already are waited for.
func (s *crashStack) kill(ctx context.Context, down time.Duration, list ...*childProcess) (killed int, err error) {
	waits := make([]func(context.Context) error, 0, len(list))
	for _, c := range list {
		wait, hit := c.signal(syscall.SIGKILL, func(ctx context.Context) error { return pauseFor(ctx, down) })
		if hit {
			killed++
		}
		waits = append(waits, wait)
	}
	for _, wait := range waits {
		if err := wait(ctx); err != nil {
			return killed, err
		}
	}
	return killed, nil
}

// signal sends a signal that ends the process, unless it is down already. The wait
// is over when the process is back; between is what comes before that.
func (c *childProcess) signal(sig syscall.Signal, between func(context.Context) error) (wait func(context.Context) error, hit bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.started
	if c.up && c.cmd.Process.Signal(sig) == nil {
		hit = true
		before++
		c.between = between
	}
	if !hit {
		before = c.started // it need only come up once
	}
	return func(ctx context.Context) error {
		for {
			c.mu.Lock()
			back := c.up && c.started >= before
			c.mu.Unlock()
			if back && c.answers(ctx) {
				return nil
			}
			if pause(ctx) != nil {
				return fmt.Errorf("%s did not come back: see %s", c.name(), c.stack.state.Path(c.name()+".log"))
			}
		}
	}, hit
}

// answers reports whether an API is ready; of others their start says so.
func (c *childProcess) answers(ctx context.Context) bool {
	if c.apiAddr == "" {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	return waitHTTP(ctx, "http://"+c.apiAddr+"/readyz") == nil
}

// roll stops each API and each worker with SIGTERM, as a deploy does: the next one
// when the one before is back.
func (s *crashStack) roll(ctx context.Context, st *crash.Strike) (ended int, err error) {
	for i := range s.apis {
		for _, c := range []*childProcess{s.apis[i], s.workers[i]} {
			c.mu.Lock()
			cmd, exited := c.cmd, c.exited
			c.mu.Unlock()
			wait, hit := c.signal(syscall.SIGTERM, func(ctx context.Context) error { return pauseFor(ctx, st.For) })
			if err := wait(ctx); err != nil {
				return ended, err
			}
			if !hit {
				continue
			}
			ended++
			<-exited
			if code := cmd.ProcessState.ExitCode(); code != 0 {
				s.progress("%s ended with code %d on SIGTERM", c.name(), code)
			}
		}
	}
	return ended, nil
}

// jumpClock sets an API's clock, and later puts it right.
func (s *crashStack) jumpClock(ctx context.Context, st *crash.Strike) error {
	offsets := []time.Duration{5 * time.Minute, -5 * time.Minute, time.Hour, -time.Hour, 48 * time.Hour, -48 * time.Hour}
	c := s.apis[st.Choose(len(s.apis))]
	offset := offsets[st.Choose(len(offsets)*len(s.apis))/len(s.apis)]
	c.mu.Lock()
	up, pid := c.up, c.cmd.Process.Pid
	c.mu.Unlock()
	if !up {
		return nil // killed meanwhile
	}
	s.progress("%s: clock jumps by %v", c.name(), offset)
	err := crash.SetClock(pid, offset)
	if err == nil {
		err = pauseFor(ctx, st.For)
	}
	if err == nil {
		err = crash.SetClock(pid, 0)
	}
	if err != nil && c.pid() == pid && ctx.Err() == nil && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return err
	}
	return nil
}

// pauseFor waits.
func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
