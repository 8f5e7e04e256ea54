package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"grapnel/cmd/dev/crash"
)

// workerMemory is what a worker of FillMemory may hold, in bytes.
const workerMemory = 512 << 20

// memoryBound bounds processes' memory: by GOMEMLIMIT, which the garbage collector
// follows as far as it can, and by cgroups where this process may make some, which end a
// process that holds more. What they held is to be looked at in any case.
type memoryBound struct {
	bytes int64
	// dir is a cgroup below which each process has its own; empty where none can be made.
	dir  string
	file string // the bound's
	made []string
}

// newMemoryBound makes one; where cgroups are not permitted, it does without.
func newMemoryBound(bytes int64) *memoryBound {
	b := &memoryBound{bytes: bytes}
	// Version 1 has a hierarchy for memory, version 2 one for everything, in which a group
	// hands a controller on to those below it.
	for root, file := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		own := filepath.Join(root, fmt.Sprintf("grapnel-crash-%d", os.Getpid()))
		if os.Mkdir(own, 0o755) != nil { //nolint:gosec // as the kernel has them
			continue
		}
		if _, err := os.Stat(filepath.Join(own, file)); err == nil && (file != "memory.max" || writeExisting(filepath.Join(own, "cgroup.subtree_control"), "+memory") == nil) {
			b.dir, b.file = own, file
			break
		}
		_ = os.Remove(own) // it was made in vain
	}
	return b
}

// writeExisting writes a file of the kernel's; it makes none.
func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // of a cgroup
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// environment is what a process is started with. The limit leaves room for what the
// garbage collector does not see, above all for the program itself, which here holds the
// Temporal server, too.
func (b *memoryBound) environment() []string {
	if b == nil {
		return nil
	}
	return []string{fmt.Sprintf("GOMEMLIMIT=%d", b.bytes/4*3)}
}

// add bounds a process.
func (b *memoryBound) add(pid int) error {
	if b == nil || b.dir == "" {
		return nil
	}
	own := filepath.Join(b.dir, strconv.Itoa(pid))
	if err := os.Mkdir(own, 0o755); err != nil { //nolint:gosec // as the kernel has them
		return fmt.Errorf("bound its memory: %w", err)
	}
	b.made = append(b.made, own)
	err := errors.Join(
		writeExisting(filepath.Join(own, b.file), strconv.FormatInt(b.bytes, 10)),
		writeExisting(filepath.Join(own, "cgroup.procs"), strconv.Itoa(pid)))
	if err != nil {
		return fmt.Errorf("bound its memory: %w", err)
	}
	return nil
}

// Close removes the cgroups; the processes in them have ended.
func (b *memoryBound) Close() error {
	if b.dir == "" {
		return nil
	}
	var errs []error
	for _, dir := range append(b.made, b.dir) {
		errs = append(errs, os.Remove(dir))
	}
	return errors.Join(errs...)
}

// fillMemory kills the workers, and lets them come back when a backlog has been made.
func (s *crashStack) fillMemory(ctx context.Context, st *crash.Strike) (killed int, err error) {
	made := make(chan struct{})
	var waits []func(context.Context) error
	for _, c := range s.workers {
		wait, hit := c.signal(syscall.SIGKILL, func(ctx context.Context) error {
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
		waits = append(waits, wait)
	}
	err = st.Hold(ctx, crash.Target{})
	close(made)
	for _, wait := range waits {
		err = errors.Join(err, wait(ctx))
	}
	return killed, err
}

// Survey implements crash.Stack.
func (s *crashStack) Survey() (crash.Survey, error) {
	var survey crash.Survey
	for _, c := range append(append([]*childProcess{}, s.apis...), s.workers...) {
		c.mu.Lock()
		died := c.died
		c.mu.Unlock()
		for range died {
			survey.Died = append(survey.Died, c.name())
		}
	}
	if s.bound == nil {
		return survey, nil
	}
	survey.Memory, survey.Bound, survey.Enforced = map[string]int64{}, s.bound.bytes, s.bound.dir != ""
	for _, c := range s.workers {
		most, err := mostResident(c.pid())
		if err != nil {
			return survey, err
		}
		survey.Memory[c.name()] = most
	}
	return survey, nil
}

// mostResident is the most memory that a process has had in use at once, in bytes.
func mostResident(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("memory of process %d: %w", pid, err)
	}
	defer f.Close() //nolint:errcheck // it was only read
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("memory of process %d: the system does not say", pid)
}
