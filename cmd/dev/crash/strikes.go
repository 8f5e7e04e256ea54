package crash

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"grapnel/cmd/dev/stack"
	"grapnel/internal/wait"
)

// Strike implements crash.Stack.
func (s *crashStack) Strike(ctx context.Context, st *Strike) (killed int, err error) {
	switch st.Damage {
	case KillAPI:
		return s.killSome(ctx, st, s.apis)
	case KillWorker:
		return s.killSome(ctx, st, s.workers)
	case KillBoth:
		return s.kill(ctx, st.For, append(append([]*stack.ChildProcess{}, s.apis...), s.workers...)...)
	case KillTemporal:
		return s.kill(ctx, st.For, s.temporal)
	case LoseTemporal:
		return s.loseTemporal(ctx, st)
	case KillBackend:
		return s.killBackend(ctx, st)
	case StopPostgres:
		return s.stopPostgres(ctx, st)
	case FillConnections:
		return 0, s.fillConnections(ctx, st)
	case FillDisk:
		return 0, s.fillDisk(ctx, st)
	case BreakDatabase:
		return 0, Break(ctx, s.database, st)
	case JumpClock:
		return 0, s.jumpClock(ctx, st)
	case Roll:
		return s.roll(ctx, st)
	case LoseNamespace:
		return 0, s.loseNamespace(ctx, st)
	case StopTemporal, AwayTemporal:
		return 0, s.stopTemporal(ctx, st)
	case CutTemporal:
		return 0, s.cutTemporal(ctx, st)
	case Freeze:
		return 0, s.freeze(ctx, st)
	case StallOwner:
		return 0, s.stallOwner(ctx, st)
	case FillMemory:
		return s.fillMemory(ctx, st)
	case LeapClock:
		return 0, s.leapClock(ctx, st)
	case None, All, BreakReceivers, LockRows, EndWebhooks, FewConnections, InTurn:
	}
	return 0, fmt.Errorf("%s is no strike of the stack's", st.Damage)
}

// killSome kills the first process, the second, or both.
func (s *crashStack) killSome(ctx context.Context, st *Strike, two []*stack.ChildProcess) (int, error) {
	if pick := st.Choose(3); pick < 2 {
		two = two[pick : pick+1]
	}
	return s.kill(ctx, st.For, two...)
}

// kill kills processes with SIGKILL, leaves them down for a while, and returns when they are back. It also waits for
// processes that were down already.
func (s *crashStack) kill(ctx context.Context, down time.Duration, list ...*stack.ChildProcess) (killed int, err error) {
	waits := make([]func(context.Context) error, 0, len(list))
	for _, c := range list {
		await, hit := c.Signal(syscall.SIGKILL, func(ctx context.Context) error { return wait.For(ctx, down) })
		if hit {
			killed++
		}
		waits = append(waits, await)
	}
	for _, await := range waits {
		if err := await(ctx); err != nil {
			return killed, err
		}
	}
	return killed, nil
}

// roll stops each API and each worker with SIGTERM, as a deployment does. It stops the next one when the previous one
// is back.
func (s *crashStack) roll(ctx context.Context, st *Strike) (ended int, err error) {
	for i := range s.apis {
		for _, c := range []*stack.ChildProcess{s.apis[i], s.workers[i]} {
			cmd, exited := c.Current()
			await, hit := c.Signal(syscall.SIGTERM, func(ctx context.Context) error { return wait.For(ctx, st.For) })
			if err := await(ctx); err != nil {
				return ended, err
			}
			if !hit {
				continue
			}
			ended++
			<-exited
			if code := cmd.ProcessState.ExitCode(); code != 0 {
				s.Progress("%s ended with code %d on SIGTERM", c.Name(), code)
			}
		}
	}
	return ended, nil
}

// jumpClock sets an API's clock to a wrong time, and later to the right one.
func (s *crashStack) jumpClock(ctx context.Context, st *Strike) error {
	offsets := []time.Duration{5 * time.Minute, -5 * time.Minute, time.Hour, -time.Hour, 48 * time.Hour, -48 * time.Hour}
	c := s.apis[st.Choose(len(s.apis))]
	offset := offsets[st.Choose(len(offsets)*len(s.apis))/len(s.apis)]
	pid, up := c.Running()
	if !up {
		return nil // another strike has killed it
	}
	s.Progress("%s: clock jumps by %v", c.Name(), offset)
	err := SetClock(pid, offset)
	if err == nil {
		err = wait.For(ctx, st.For)
	}
	if err == nil {
		err = SetClock(pid, 0)
	}
	if err != nil && c.PID() == pid && ctx.Err() == nil && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return err
	}
	return nil
}
