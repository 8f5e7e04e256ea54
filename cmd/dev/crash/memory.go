package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"grapnel/cmd/dev/stack"
)

// workerMemory is the memory limit of a worker under FillMemory, in bytes.
const workerMemory = 512 << 20

// fillMemory kills the workers, and restarts them once there is a backlog.
func (s *crashStack) fillMemory(ctx context.Context, st *Strike) (killed int, err error) {
	made := make(chan struct{})
	var waits []func(context.Context) error
	for _, c := range s.workers {
		await, hit := c.Signal(syscall.SIGKILL, func(ctx context.Context) error {
			select {
			case <-made:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if hit {
			killed++
		}
		waits = append(waits, await)
	}
	err = st.Hold(ctx, Target{})
	close(made)
	for _, await := range waits {
		err = errors.Join(err, await(ctx))
	}
	return killed, err
}

// Survey implements crash.Stack.
func (s *crashStack) Survey() (Survey, error) {
	var survey Survey
	for _, c := range append(append([]*stack.ChildProcess{}, s.apis...), s.workers...) {
		for range c.Deaths() {
			survey.Died = append(survey.Died, c.Name())
		}
	}
	if s.bound == nil {
		return survey, nil
	}
	survey.Memory, survey.Bound, survey.Enforced = map[string]int64{}, s.bound.Bytes, s.bound.Dir != ""
	for _, c := range s.workers {
		most, err := mostResident(c.PID())
		if err != nil {
			return survey, err
		}
		survey.Memory[c.Name()] = most
	}
	return survey, nil
}

// mostResident returns the most resident memory that a process ever had, in bytes.
func mostResident(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	defer f.Close() //nolint:errcheck // the file was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d: the system does not say", pid)
}
