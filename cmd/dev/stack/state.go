package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	dataDirFlag = "--data-dir"
	// markerFile marks a directory as the stack's, so that --fresh removes nothing else. The file is also the lock.
	markerFile = ".grapnel-dev"
	markerText = "This directory belongs to Grapnel's development stack; --fresh removes it.\n"
)

// errLocked reports that another stack uses the directory.
var errLocked = errors.New("another development stack is using it")

// state is the data directory: everything of the stack that outlives a run.
// While it is open no other stack can open it.
type state struct {
	// Dir is its absolute path.
	Dir string
	// Secrets are made at the first run.
	Secrets Credentials

	lock *os.File
}

// defaultDataDir is grapnel-dev in the user's cache directory
// ($XDG_CACHE_HOME or ~/.cache; ~/Library/Caches on macOS).
func defaultDataDir() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the cache directory (choose one with %s): %w", dataDirFlag, err)
	}
	return filepath.Join(cache, "grapnel-dev"), nil
}

// openState opens the data directory, makes it if it is missing or empty, and
// locks it. With fresh it removes what earlier runs have left there. A
// directory with something else in it is refused. The error wraps errLocked
// if another stack is using the directory.
func openState(dir string, fresh bool) (*state, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", dataDirFlag, err)
	}
	if err := claim(dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &state{Dir: dir, lock: lock}
	if fresh {
		if err := s.wipe(); err != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
	if s.Secrets, err = LoadCredentials(filepath.Join(dir, "secrets.json")); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Path is a file or directory of the data directory.
func (s *state) Path(name string) string { return filepath.Join(s.Dir, name) }

// Close unlocks the directory.
func (s *state) Close() error {
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("unlock %s: %w", s.Dir, err)
	}
	return nil
}

// claim makes sure that dir exists and carries the marker. It puts the marker
// only into an empty directory.
func claim(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory (%s): %w", dataDirFlag, err)
	}
	marker := filepath.Join(dir, markerFile)
	content, err := os.ReadFile(marker) //nolint:gosec // a fixed name in the directory that was asked for
	if err == nil && strings.HasPrefix(string(content), markerText) {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read data directory (%s): %w", dataDirFlag, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read data directory (%s): %w", dataDirFlag, err)
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty and was not made by this program; choose another with %s", dir, dataDirFlag)
	}
	if err := os.WriteFile(marker, []byte(markerText), 0o600); err != nil {
		return fmt.Errorf("mark data directory: %w", err)
	}
	return nil
}

// lockDir locks the marker. The lock ends with this process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, markerFile), os.O_RDWR, 0) //nolint:gosec // a fixed name
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, nil
	}
	_ = f.Close() // nothing was written
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, fmt.Errorf("data directory %s: %w; stop it, or choose another directory with %s", dir, errLocked, dataDirFlag)
	}
	return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
}

// wipe removes everything but the marker, which is locked.
func (s *state) wipe() error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return fmt.Errorf("wipe data directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == markerFile {
			continue
		}
		if err := os.RemoveAll(s.Path(e.Name())); err != nil {
			return fmt.Errorf("wipe data directory: %w", err)
		}
	}
	return nil
}
