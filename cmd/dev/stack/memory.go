package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// MemoryBound bounds processes' memory: by GOMEMLIMIT, which the garbage collector
// follows as far as it can, and by cgroups where this process may make some, which end a
// process that holds more. What they held is to be looked at in any case.
type MemoryBound struct {
	Bytes int64
	// Dir is a cgroup below which each process has its own; empty where none can be made.
	Dir  string
	file string // the bound's
	made []string
}

// NewMemoryBound makes one; where cgroups are not permitted, it does without.
func NewMemoryBound(bytes int64) *MemoryBound {
	b := &MemoryBound{Bytes: bytes}
	// Version 1 has a hierarchy for memory, version 2 one for everything, in which a group
	// hands a controller on to those below it.
	for root, file := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		own := filepath.Join(root, fmt.Sprintf("grapnel-crash-%d", os.Getpid()))
		if os.Mkdir(own, 0o755) != nil { //nolint:gosec // as the kernel has them
			continue
		}
		if _, err := os.Stat(filepath.Join(own, file)); err == nil && (file != "memory.max" || writeExisting(filepath.Join(own, "cgroup.subtree_control"), "+memory") == nil) {
			b.Dir, b.file = own, file
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
func (b *MemoryBound) environment() []string {
	if b == nil {
		return nil
	}
	return []string{fmt.Sprintf("GOMEMLIMIT=%d", b.Bytes/4*3)}
}

// add bounds a process.
func (b *MemoryBound) add(pid int) error {
	if b == nil || b.Dir == "" {
		return nil
	}
	own := filepath.Join(b.Dir, strconv.Itoa(pid))
	if err := os.Mkdir(own, 0o755); err != nil { //nolint:gosec // as the kernel has them
		return fmt.Errorf("bound its memory: %w", err)
	}
	b.made = append(b.made, own)
	err := errors.Join(
		writeExisting(filepath.Join(own, b.file), strconv.FormatInt(b.Bytes, 10)),
		writeExisting(filepath.Join(own, "cgroup.procs"), strconv.Itoa(pid)))
	if err != nil {
		return fmt.Errorf("bound its memory: %w", err)
	}
	return nil
}

// Close removes the cgroups; the processes in them have ended.
func (b *MemoryBound) Close() error {
	if b.Dir == "" {
		return nil
	}
	var errs []error
	for _, dir := range append(b.made, b.Dir) {
		errs = append(errs, os.Remove(dir))
	}
	return errors.Join(errs...)
}
