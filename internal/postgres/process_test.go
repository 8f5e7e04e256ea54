//go:build unix

package postgres

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWatchdogSignalsWhenThePipeCloses(t *testing.T) {
	t.Parallel()
	// The middle process owns the watchdog's pipe. It stands for the process that owns the
	// server. Here it is a shell, made of the same parts.
	p, err := spawn(exec.CommandContext(t.Context(), "sleep", "1000"), nil)
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	dog, err := watch(p.cmd.Process.Pid, r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	require.NoError(t, w.Close())
	<-p.done
	require.NoError(t, dog.Wait())
	var exit *exec.ExitError
	require.ErrorAs(t, p.err, &exit)
	status, ok := exit.Sys().(syscall.WaitStatus)
	require.True(t, ok)
	require.Equal(t, syscall.SIGQUIT, status.Signal())
}

func TestWatchdogCalledOff(t *testing.T) {
	t.Parallel()
	p, err := spawn(exec.CommandContext(t.Context(), "cat"), nil)
	require.NoError(t, err)
	<-p.done // its standard input is empty
	off, err := watchdog(p.cmd.Process.Pid)
	require.NoError(t, err)
	off()
}

func TestSweepRemovesOnlyWhatNobodyHolds(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	for _, name := range []string{"dead", "young"} {
		require.NoError(t, os.Mkdir(filepath.Join(parent, runDirPrefix+name), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(parent, runDirPrefix+"dead", "lock"), nil, 0o600))
	alive, err := newRunDir(nil, false)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, alive.remove()) })

	sweep(parent)
	sweep(filepath.Dir(alive.path))
	require.NoDirExists(t, filepath.Join(parent, runDirPrefix+"dead"))
	require.DirExists(t, filepath.Join(parent, runDirPrefix+"young"))
	require.DirExists(t, alive.path)
}

func TestSocketPathFits(t *testing.T) {
	t.Parallel()
	const shortest = 104 // sockaddr_un of macOS, with the final zero byte
	path := filepath.Join(strings.Repeat("x", maxSocketDir), runDirPrefix+strconv.Itoa(1<<31), ".s.PGSQL.65535")
	require.Less(t, len(path), shortest)
}

func TestReachable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	file := filepath.Join(closed, "file")
	stranger := &syscall.Credential{Uid: 54321, Gid: 54321}
	require.True(t, reachable(file, nil))
	require.False(t, reachable(file, stranger))
	require.True(t, reachable("/usr/bin/env", stranger))
	require.False(t, reachable(file, &syscall.Credential{Uid: 54321, Gid: uint32(os.Getgid())}))
}
