//go:build unix

package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"grapnel/internal/longtest"
	"grapnel/internal/postgres"
)

// soon limits every wait in these tests.
const soon = 20 * time.Second

func start(t *testing.T, opts postgres.Options) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *postgres.Server) {
	t.Helper()
	require.NoError(t, s.Stop(context.WithoutCancel(t.Context())))
}

// gone reports whether no process has this pid.
func gone(pid int) func() bool {
	return func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH }
}

func TestDataSurvivesARestart(t *testing.T) {
	t.Parallel()
	longtest.Only(t) // initdb
	// Under root, t.TempDir is closed to the user that PostgreSQL runs as.
	opts := postgres.Options{DataDir: filepath.Join(t.TempDir(), "a", "data"), Durable: true, MaxConnections: 20}
	s := start(t, opts)
	conn := connect(t, s.URL("postgres"))
	require.Equal(t, "on", value[string](t, conn, "SHOW fsync"))
	require.Equal(t, "on", value[string](t, conn, "SHOW synchronous_commit"))
	require.Equal(t, "20", value[string](t, conn, "SHOW max_connections"))
	_, err := conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n")
	require.NoError(t, err)
	stop(t, s)
	require.True(t, gone(s.PID())())

	opts.Settings = map[string]string{"work_mem": "5MB"}
	s = start(t, opts)
	conn = connect(t, s.URL("postgres"))
	require.Equal(t, 7, value[int](t, conn, "SELECT n FROM kept"))
	require.Equal(t, "5MB", value[string](t, conn, "SHOW work_mem"))
}

func TestServerHasASessionOfItsOwn(t *testing.T) {
	t.Parallel()
	s := start(t, postgres.Options{Port: postgres.AnyPort})
	group, err := syscall.Getpgid(s.PID())
	require.NoError(t, err)
	require.NotEqual(t, syscall.Getpgrp(), group)

	require.Positive(t, s.Port())
	conn := connect(t, s.URL("postgres"))
	require.Equal(t, "127.0.0.1", value[string](t, conn, "SHOW listen_addresses"))
	require.Equal(t, "off", value[string](t, conn, "SHOW fsync"))
}

func TestBusyPortIsATypedError(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)

	_, err = postgres.Start(t.Context(), postgres.Options{Port: n})
	var busy *postgres.PortInUseError
	require.ErrorAs(t, err, &busy)
	require.Equal(t, n, busy.Port)
}

func TestRunningServerIsATypedError(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	dir := filepath.Join(t.TempDir(), "data")
	s := start(t, postgres.Options{DataDir: dir})
	_, err := postgres.Start(t.Context(), postgres.Options{DataDir: dir})
	var running *postgres.AlreadyRunningError
	require.ErrorAs(t, err, &running)
	require.Equal(t, s.PID(), running.PID)
	require.Equal(t, dir, running.DataDir)
}

func TestStalePIDFileIsNoObstacle(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	dir := filepath.Join(t.TempDir(), "data")
	stop(t, start(t, postgres.Options{DataDir: dir}))
	// A pid that is alive and not PostgreSQL: that of the test.
	content := fmt.Sprintf("%d\n%s\n1\n5432\n/nonexistent\n\n  1  1\nready\n", os.Getpid(), dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "postmaster.pid"), []byte(content), 0o600))
	start(t, postgres.Options{DataDir: dir})
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "thesis.txt"), nil, 0o600))
	_, err := postgres.Start(t.Context(), postgres.Options{DataDir: dir})
	require.ErrorContains(t, err, "neither empty nor a PostgreSQL data directory")
}

func TestBadSettingIsReportedWithTheLog(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	log := filepath.Join(t.TempDir(), "log")
	_, err := postgres.Start(t.Context(), postgres.Options{
		LogFile: log, Settings: map[string]string{"shared_buffers": "many"},
	})
	require.ErrorContains(t, err, `invalid value for parameter "shared_buffers": "many"`)
	require.FileExists(t, log)
}

// TestServerDiesWithItsOwner kills a process that owns a server, and starts
// another on the directory at once.
func TestServerDiesWithItsOwner(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	dir := filepath.Join(t.TempDir(), "data")
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), ownerEnv+"="+dir)
	owner.Stderr = os.Stderr
	stdin, err := owner.StdinPipe()
	require.NoError(t, err)
	defer stdin.Close()
	stdout, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	var pid int
	var url string
	_, err = fmt.Sscan(line, &pid, &url)
	require.NoError(t, err)

	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE kept AS SELECT 7 AS n")
	require.NoError(t, err)
	require.NoError(t, owner.Process.Kill())
	require.Error(t, owner.Wait())

	s := start(t, postgres.Options{DataDir: dir, Durable: true})
	require.Equal(t, 7, value[int](t, connect(t, s.URL("postgres")), "SELECT n FROM kept"))
	require.Eventually(t, gone(pid), soon, 10*time.Millisecond)
	_ = conn.Close(t.Context()) // the server has ended
}

// Temporary servers begin with a copy of one data directory, and with initdb where there is none or it can't be copied.
func TestTemporaryServersShareAnImage(t *testing.T) {
	longtest.Only(t)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	images := func() []string {
		var list []string
		require.NoError(t, filepath.WalkDir(cache, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Base(path) == "PG_VERSION" && filepath.Base(filepath.Dir(filepath.Dir(path))) != "base" {
				list = append(list, filepath.Dir(path))
			}
			return err
		}))
		return list
	}
	var systems []string
	begin := func() {
		s := start(t, postgres.Options{})
		conn := connect(t, s.URL("postgres"))
		systems = append(systems, value[string](t, conn, "SELECT system_identifier::text FROM pg_control_system()"))
		require.False(t, value[bool](t, conn, "SELECT pg_is_in_recovery()"))
	}
	begin()
	require.Len(t, images(), 1)
	begin()
	require.Equal(t, systems[0], systems[1], "a copy")
	require.NoError(t, os.RemoveAll(filepath.Join(images()[0], "global")))
	require.NoError(t, os.Symlink("nowhere", filepath.Join(images()[0], "global")))
	begin()
	require.NotEqual(t, systems[0], systems[2], "made by initdb, since the image can't be copied")
	begin()
	require.Equal(t, systems[2], systems[3], "the image was replaced")
}

// A server with an image is filled once on a machine, and again if that failed or the key is another.
func TestFilledServersShareAnImage(t *testing.T) {
	longtest.Only(t)
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	t.Setenv("HOME", cache)
	fills := 0
	broken := errors.New("broken")
	image := func(key string, err error) *postgres.Image {
		return &postgres.Image{Key: key, Fill: func(ctx context.Context, s *postgres.Server) error {
			fills++
			conn, connectErr := pgx.Connect(ctx, s.URL("postgres"))
			if connectErr != nil {
				return connectErr
			}
			_, execErr := conn.Exec(ctx, "CREATE TABLE filled AS SELECT 7 AS n")
			return errors.Join(err, execErr, conn.Close(ctx))
		}}
	}
	_, err := postgres.Start(t.Context(), postgres.Options{Image: image("k", broken)})
	require.ErrorIs(t, err, broken)
	for i, key := range []string{"k", "k", "other", "k"} {
		s := start(t, postgres.Options{Image: image(key, nil)})
		conn := connect(t, s.URL("postgres"))
		require.Equal(t, 7, value[int](t, conn, "SELECT n FROM filled"))
		require.False(t, value[bool](t, conn, "SELECT pg_is_in_recovery()"))
		require.Equal(t, []int{2, 2, 3, 3}[i], fills)
	}
	s := start(t, postgres.Options{})
	require.Zero(t, value[int](t, connect(t, s.URL("postgres")), "SELECT count(*) FROM pg_class WHERE relname = 'filled'"))

	dir, err := os.UserCacheDir()
	require.NoError(t, err)
	old, err := filepath.Glob(filepath.Join(dir, "grapnel", "filled-*"))
	require.NoError(t, err)
	require.Len(t, old, 2)
	longAgo := time.Now().Add(-72 * time.Hour)
	require.NoError(t, os.Chtimes(old[0], longAgo, longAgo))
	start(t, postgres.Options{Image: image("third", nil)})
	require.NoDirExists(t, old[0])
	require.DirExists(t, old[1])
}
