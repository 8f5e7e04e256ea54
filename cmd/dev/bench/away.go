package bench

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// awayRate is the number of events per second in the case away.
const awayRate = 100

// runAway measures first attempts while the Temporal server is stopped (V1). It goes on at the end of the window, and
// everything must have arrived soon after.
func runAway(ctx context.Context, spec Spec) (Result, error) {
	pid := 0
	for _, p := range spec.Processes {
		if p.Name == partTemporal {
			pid = p.PID
		}
	}
	if pid == 0 {
		return Result{}, errors.New("no Temporal server in a process of its own: use another layout of the processes")
	}
	r, err := startSimple(ctx, spec, 1)
	if err != nil {
		return Result{}, err
	}
	defer r.close()
	load := func(d time.Duration) { r.open(ctx, awayRate, d) }
	if err := r.warmUp(ctx, load); err != nil {
		return Result{}, err
	}
	result, err := r.measure(ctx, spec.Case, func() {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			r.failed("stop Temporal: " + err.Error())
		}
		load(spec.Window)
		if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
			r.failed("continue Temporal: " + err.Error())
		}
	})
	result.Note = fmt.Sprintf("%d/s while Temporal stands still for %.0f s", awayRate, spec.Window.Seconds())
	return result, err
}
