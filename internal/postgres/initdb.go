//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Superuser is the role that initdb creates and that the servers' URLs use.
const Superuser = "postgres"

// initdb initialises dataDir unless it is initialised. It works in a
// directory beside dataDir and renames it at the end, so that an interrupted run
// leaves nothing that looks like a database.
func initdb(ctx context.Context, bin, dataDir string, durable bool, cred *syscall.Credential) error {
	if _, err := os.Stat(filepath.Join(dataDir, "PG_VERSION")); err == nil {
		return nil
	}
	if entries, err := os.ReadDir(dataDir); err == nil && len(entries) > 0 {
		return fmt.Errorf("%s is neither empty nor a PostgreSQL data directory", dataDir)
	}
	fresh := dataDir + ".init"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("remove interrupted %s: %w", fresh, err)
	}
	if err := os.MkdirAll(fresh, 0o700); err != nil {
		return fmt.Errorf("create %s: %w", fresh, err)
	}
	if err := give(fresh, cred); err != nil {
		return err
	}
	var output bytes.Buffer
	cmd, release, err := program(ctx, filepath.Join(bin, "initdb"), fresh, cred, initArguments(durable)...)
	if err != nil {
		return err
	}
	defer release()
	cmd.Stdout, cmd.Stderr = &output, &output
	p, err := spawn(cmd, cred)
	if err != nil {
		return fmt.Errorf("run initdb: %w", err)
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("initdb %s: %w: %s", dataDir, p.err, strings.TrimSpace(output.String()))
	}
	if err := os.Remove(dataDir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replace empty %s: %w", dataDir, err)
	}
	if err := os.Rename(fresh, dataDir); err != nil {
		return fmt.Errorf("put data directory in place: %w", err)
	}
	return nil
}

func initArguments(durable bool) []string {
	args := []string{"-U", Superuser, "-A", "trust", "--encoding=UTF8", "--locale=C", "--no-instructions"}
	if !durable {
		// A small log makes small images.
		args = append(args, "--no-sync", "--wal-segsize=1")
	}
	return args
}

// program prepares a PostgreSQL program that works on dataDir as cred. The
// caller must call the returned function after the program has ended or failed to
// start. Cancelling ctx kills the program.
func program(
	ctx context.Context, path, dataDir string, cred *syscall.Credential, args ...string,
) (*exec.Cmd, func(), error) {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the binary that Find found
	release := func() {}
	seen := dataDir
	if !reachable(dataDir, cred) {
		if !canInherit {
			return nil, nil, fmt.Errorf("uid %d, under which PostgreSQL runs for root, cannot reach %s;"+
				" choose a data directory elsewhere or do not run as root", cred.Uid, dataDir)
		}
		var err error
		if seen, release, err = lendDir(cmd, dataDir); err != nil {
			return nil, nil, fmt.Errorf("open %s: %w", dataDir, err)
		}
	}
	cmd.Args = append(cmd.Args, "-D", seen)
	cmd.Dir = "/" // cred may have no access to the current directory
	cmd.Env = environment()
	return cmd, release, nil
}

// environment returns the process's environment without variables that change PostgreSQL's settings.
func environment() []string {
	env := []string{"LC_ALL=C", "LANG=C", "TZ=UTC"}
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "TZ" {
			continue
		}
		env = append(env, v)
	}
	return env
}
