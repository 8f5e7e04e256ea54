//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"grapnel/internal/wait"
)

// dyingTime is how long a server of a killed process is given to end: it gets
// its signal at the moment of the kill and has only to close its children.
const dyingTime = 5 * time.Second

// AlreadyRunningError reports that a server is running on the data directory.
type AlreadyRunningError struct {
	DataDir string
	PID     int
}

func (e *AlreadyRunningError) Error() string {
	return fmt.Sprintf("a PostgreSQL server (pid %d) is already running on %s", e.PID, e.DataDir)
}

// checkVacant returns an *AlreadyRunningError if a postmaster is alive on
// dataDir, after giving a dying one time to end. A pid file left by a crash is
// no obstacle: PostgreSQL replaces it, except when the pid has gone to another
// process of the same user, as it easily does in a container; then it is
// removed here.
func checkVacant(ctx context.Context, dataDir string) error {
	deadline := time.Now().Add(dyingTime)
	for {
		pid, alive := postmaster(ctx, dataDir)
		if !alive {
			return nil
		}
		if time.Now().After(deadline) {
			return &AlreadyRunningError{DataDir: dataDir, PID: pid}
		}
		if err := wait.For(ctx, pollEvery); err != nil {
			return fmt.Errorf("wait for PostgreSQL (pid %d) to leave %s: %w", pid, dataDir, err)
		}
	}
}

// postmaster reads dataDir's pid file and reports whether that process is
// alive and a PostgreSQL server.
func postmaster(ctx context.Context, dataDir string) (int, bool) {
	file := filepath.Join(dataDir, "postmaster.pid")
	content, err := os.ReadFile(file) //nolint:gosec // our own data directory
	if err != nil {
		return 0, false
	}
	lines := strings.Split(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return 0, false
	}
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return pid, false
	}
	if answers(ctx, lines) || filepath.Base(strings.TrimSpace(command(ctx, pid))) == "postgres" {
		return pid, true
	}
	_ = os.Remove(file) // if it stays, PostgreSQL says so
	return pid, false
}

// answers reports whether somebody listens on the socket of the pid file:
// line 4 is the port, line 5 the socket's directory.
func answers(ctx context.Context, lines []string) bool {
	if len(lines) < 5 || lines[4] == "" {
		return false
	}
	socket := filepath.Join(lines[4], ".s.PGSQL."+lines[3])
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", socket)
	if err != nil {
		return false
	}
	_ = conn.Close() // nothing was written
	return true
}

// command returns the name of the program that pid runs, or "".
func command(ctx context.Context, pid int) string {
	if comm, err := os.ReadFile("/proc/" + itoa(pid) + "/comm"); err == nil {
		return string(comm)
	}
	out, err := exec.CommandContext(ctx, "ps", "-o", "comm=", "-p", itoa(pid)).Output() //nolint:gosec // a number
	if err != nil {
		return ""
	}
	return string(out)
}

func itoa(n int) string { return strconv.Itoa(n) }
