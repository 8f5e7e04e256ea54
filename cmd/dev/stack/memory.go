package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// MemoryBound limits the memory of processes: by GOMEMLIMIT, which the garbage collector follows as far as it can,
// and by cgroups, which end a process that exceeds the limit. It uses cgroups only if this process may create them.
// The suite measures the memory in any case.
type MemoryBound struct {
	Bytes int64
	// Dir is a cgroup below which each process has its own. It is empty if cgroups cannot be created.
	Dir  string
	file string // the name of the file with the bound
	made []string
}

// NewMemoryBound returns a limit. It creates no cgroups if they are not permitted.
func NewMemoryBound(bytes int64) *MemoryBound {
	b := &MemoryBound{Bytes: bytes}
	// Version 1 has a hierarchy of its own for memory. Version 2 has one hierarchy for everything, in which a group
	// passes a controller on to the groups below it.
	for root, file := range map[string]string{"/sys/fs/cgroup/memory": "memory.limit_in_bytes", "/sys/fs/cgroup": "memory.max"} {
		own := filepath.Join(root, fmt.Sprintf("grapnel-crash-%d", os.Getpid()))
		if os.Mkdir(own, 0o755) != nil { //nolint:gosec // the kernel's own mode
			continue
		}
		if _, err := os.Stat(filepath.Join(own, file)); err == nil && (file != "memory.max" || writeExisting(filepath.Join(own, "cgroup.subtree_control"), "+memory") == nil) {
			b.Dir, b.file = own, file
			break
		}
		_ = os.Remove(own) // it has no controller for memory
	}
	return b
}

// writeExisting writes to an existing file of the kernel. It does not create a file.
func writeExisting(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0) //nolint:gosec // a file of a cgroup
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// environment returns the environment variables for a process. The limit leaves room for memory that the garbage
// collector does not see, above all for the program itself, which here contains the Temporal server.
func (b *MemoryBound) environment() []string {
	if b == nil {
		return nil
	}
	return []string{fmt.Sprintf("GOMEMLIMIT=%d", b.Bytes/4*3)}
}

// add limits the memory of a process.
func (b *MemoryBound) add(pid int) error {
	if b == nil || b.Dir == "" {
		return nil
	}
	own := filepath.Join(b.Dir, strconv.Itoa(pid))
	if err := os.Mkdir(own, 0o755); err != nil { //nolint:gosec // the kernel's own mode
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

// Close removes the cgroups. The processes in them must have ended.
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
