package e2e

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func startWith(t *testing.T, dir string, args ...string) *stackProcess {
	t.Helper()
	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	return start(t, dir, append(flags, args...)...)
}

// A worker dies between two attempts: its successor makes the second attempt and does not repeat the first.
func TestWorkerKilledBetweenAttempts(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--restart", "--retry-schedule=10s,10s,10s,10s")
	c := clientOf(t, s)
	r := newRecorder(t, status(500), status(200))
	hook, eventType := c.webhook(r.URL, nil)
	event := c.publish(eventType, object{})
	// Wait until Temporal has the first attempt's result, too: a worker that dies after recording a result and
	// before reporting it to Temporal counts as one that died during the attempt.
	waitFor(t, "Temporal to wait for the second attempt", func() bool {
		pending := describe(t, c, event).PendingActivities
		return len(pending) == 1 && pending[0].Attempt == 2
	})
	first := c.deliveries(hook)[0].(object)
	require.EqualValues(t, 1, first["attempts"])
	require.NoError(t, syscall.Kill(s.pid(t, "worker"), syscall.SIGKILL))
	d := c.settled(hook)
	require.Equal(t, "success", d["status"])
	require.EqualValues(t, 2, d["attempts"])
	require.Len(t, r.requests(), 2)
}

// The whole stack is stopped and restarted while retries are pending: no event is lost and no attempt forgotten.
func TestRestartOfEverythingWithRetriesPending(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	schedule := "--retry-schedule=3s,3s,3s,3s"
	s := startWith(t, dir, schedule)
	c := clientOf(t, s)
	r := newRecorder(t, status(500), status(500), status(500), status(200))
	hook, eventType := c.webhook(r.URL, nil)
	for i := range 3 {
		c.publish(eventType, object{"i": i})
	}
	waitFor(t, "the first attempts", func() bool { return len(r.requests()) == 3 })
	require.NoError(t, s.stop())
	requireGone(t, s)

	c = clientOf(t, startWith(t, dir, schedule))
	waitFor(t, "all deliveries", func() bool {
		for _, d := range c.deliveries(hook) {
			if d.(object)["status"] != "success" {
				return false
			}
		}
		return true
	})
	require.Len(t, r.requests(), 6, "three failed, three delivered, none doubled")
}

// S8, spec 10: events can be published while Temporal is down, and are delivered when it is back.
func TestPublishWhileTemporalIsDown(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split", "--restart", quick)
	c := clientOf(t, s)
	r := newRecorder(t)
	_, eventType := c.webhook(r.URL, nil)
	require.NoError(t, syscall.Kill(s.pid(t, "temporal"), syscall.SIGKILL))
	const events = 20
	for i := range events {
		begin := time.Now()
		c.publish(eventType, object{"i": i})
		require.Less(t, time.Since(begin), 2*time.Second, "the 202 does not wait for Temporal")
	}
	waitFor(t, "all events", func() bool { return len(r.requests()) >= events })
	seen := map[string]bool{}
	for _, request := range r.requests() {
		seen[string(request.Body)] = true
	}
	require.Len(t, seen, events)
}

// requireGone checks that no process of the stack is running.
func requireGone(t *testing.T, s *stackProcess) {
	t.Helper()
	for _, name := range []string{"api", "worker", "temporal", "postgres"} {
		pid := s.pid(t, name)
		waitFor(t, name+" to be gone", func() bool { return syscall.Kill(pid, 0) != nil })
	}
}

// Neither SIGTERM nor kill -9 of the stack leaves a process behind.
func TestNoProcessIsLeftBehind(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			s := startWith(t, t.TempDir(), "--processes=split")
			require.NoError(t, s.cmd.Process.Signal(signal))
			<-s.exited
			requireGone(t, s)
		})
	}
}

// A start that fails because a port is busy names the port's flag and leaves no process behind.
func TestBusyPortsNameTheirFlag(t *testing.T) {
	t.Parallel()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, busy.Close()) })
	for _, flag := range []string{"--api-addr", "--temporal-addr", "--ui-addr", "--receiver-addr"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			flags, err := freeFlags(t.Context())
			require.NoError(t, err)
			s, err := launch(t.Context(), dir, append(flags, flag+"="+busy.Addr().String())...)
			require.ErrorContains(t, err, "("+flag+") is in use")
			require.Equal(t, 1, s.cmd.ProcessState.ExitCode())
			pidFile, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
			require.ErrorIs(t, err, os.ErrNotExist, "PostgreSQL has been stopped: %s", pidFile)
		})
	}
}

// The stack keeps its state over a restart; --fresh wipes it.
func TestFreshWipesTheState(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := startWith(t, dir)
	hook, _ := clientOf(t, s).webhook("http://127.0.0.1:1/", nil)
	require.NoError(t, s.stop())
	s = startWith(t, dir)
	clientOf(t, s).do(http.MethodGet, "/v1/webhooks/"+hook, nil, 200)
	require.NoError(t, s.stop())
	s = startWith(t, dir, "--fresh")
	clientOf(t, s).do(http.MethodGet, "/v1/webhooks/"+hook, nil, 404)
	require.True(t, strings.HasPrefix(s.ready["key"], "gk_"))
}

// S11: without a worker a test delivery is refused soon, and leaves no record.
func TestTestWithoutAWorker(t *testing.T) {
	t.Parallel()
	s := startWith(t, t.TempDir(), "--processes=split")
	c := clientOf(t, s)
	r := newRecorder(t)
	hook, _ := c.webhook(r.URL, nil)
	require.NoError(t, syscall.Kill(s.pid(t, "worker"), syscall.SIGKILL))
	begin := time.Now()
	refused := c.do(http.MethodPost, "/v1/webhooks/"+hook+"/test", nil, http.StatusServiceUnavailable)
	require.Less(t, time.Since(begin), eventually)
	require.Equal(t, "UNAVAILABLE", refused["code"])
	require.Empty(t, c.deliveries(hook))
	require.Empty(t, r.requests())
}
