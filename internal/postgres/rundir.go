//go:build unix

package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// runDirPrefix begins the name of every run directory.
const runDirPrefix = "grapnel-pg-"

// maxSocketDir leaves room for "/grapnel-pg-0123456789/.s.PGSQL.65535" in the
// 104 bytes that the shortest sockaddr_un (macOS) has for a path.
const maxSocketDir = 104 - 1 - len("/"+runDirPrefix+"0123456789") - len("/.s.PGSQL.65535")

// runDir is the short-lived directory of one server: its socket, its log if no
// other file was named, and the data of a temporary server. The owning process
// holds a lock on it, so that any process that finds it unlocked may remove it.
type runDir struct {
	path string
	lock *os.File
}

// newRunDir creates a run directory that belongs to cred, and removes the run directories that killed processes
// have left. The directory is in memory if it is to hold data and there is room.
func newRunDir(cred *syscall.Credential, data bool) (*runDir, error) {
	parent := os.TempDir()
	if len(parent) > maxSocketDir || !reachable(filepath.Join(parent, "x"), cred) {
		parent = "/tmp"
	}
	sweep(parent)
	if dir := memoryDir(); data && dir != "" && reachable(filepath.Join(dir, "x"), cred) {
		parent = dir
		sweep(parent)
	}
	path, err := os.MkdirTemp(parent, runDirPrefix)
	if err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	// The file gets its name after it is locked: under that name sweep never
	// sees it unlocked while this process lives.
	lock, err := os.OpenFile(filepath.Join(path, "lock.new"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // made above
	if err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	d := &runDir{path: path, lock: lock}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return nil, d.discard(fmt.Errorf("lock %s: %w", path, err))
	}
	if err := os.Rename(lock.Name(), filepath.Join(path, "lock")); err != nil {
		return nil, d.discard(fmt.Errorf("lock %s: %w", path, err))
	}
	if err := give(path, cred); err != nil {
		return nil, d.discard(err)
	}
	return d, nil
}

func (d *runDir) remove() error {
	err := os.RemoveAll(d.path)
	_ = d.lock.Close() // nothing was written
	if err != nil {
		return fmt.Errorf("remove run directory: %w", err)
	}
	return nil
}

// discard removes the directory and returns err.
func (d *runDir) discard(err error) error {
	_ = d.remove() // err is more informative
	return err
}

// sweep removes the run directories under parent whose owners are dead. It skips
// directories of other users.
func sweep(parent string) {
	dirs, err := filepath.Glob(filepath.Join(parent, runDirPrefix+"*"))
	if err != nil {
		return
	}
	for _, dir := range dirs {
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0) //nolint:gosec // the name is ours
		if err != nil {
			continue
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			_ = os.RemoveAll(dir) // the next sweep tries again
		}
		_ = lock.Close() // nothing was written
	}
}
