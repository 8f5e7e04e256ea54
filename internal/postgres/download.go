//go:build unix

package postgres

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// downloadVersion is the version that is downloaded if no PostgreSQL is installed.
const downloadVersion = embeddedpostgres.V17

// repository is the URL of the repository that publishes the binaries.
const repository = "https://repo1.maven.org/maven2"

// systemCache is where root keeps downloads when its own cache directory is
// closed to other users, as /root usually is.
const systemCache = "/var/cache"

// download fetches PostgreSQL (about 30 MB, once) and returns its bin
// directory. The library has no context: if ctx ends first, its request
// continues in the background.
func download(ctx context.Context, cred *syscall.Credential) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil || !reachable(cache, cred) {
		cache = systemCache
	}
	cache = filepath.Join(cache, "grapnel-postgres")
	type result struct {
		dir string
		err error
	}
	done := make(chan result, 1)
	go func() {
		dir, err := fetch(ctx, repository, cache)
		done <- result{dir, err}
	}()
	select {
	case r := <-done:
		return r.dir, r.err
	case <-ctx.Done():
		return "", fmt.Errorf("download PostgreSQL %s: %w", downloadVersion, ctx.Err())
	}
}

// fetch downloads and unpacks into a directory of cache unless it is there
// already. The lock keeps test processes that start together from unpacking
// over each other.
func fetch(ctx context.Context, repository, cache string) (string, error) {
	home := filepath.Join(cache, string(downloadVersion))
	bin := filepath.Join(home, "bin")
	if err := os.MkdirAll(cache, 0o755); err != nil { //nolint:gosec // the unprivileged user has to read it
		return "", fmt.Errorf("create %s: %w", cache, err)
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a fixed name
	if err != nil {
		return "", fmt.Errorf("open download lock: %w", err)
	}
	defer lock.Close() //nolint:errcheck // closing releases the lock; nothing was written
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	if _, ok := (finder{}).usable(bin); ok {
		return bin, nil
	}
	scratch, err := os.MkdirTemp(cache, "unpack-")
	if err != nil {
		return "", fmt.Errorf("create download directory: %w", err)
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // a leftover costs disk space only

	// The library offers no way to only download. A data directory that looks initialised makes it skip initdb,
	// and the start that follows fails at once, because there is no configuration file or because the process is
	// root. By then the binaries are in place, which is checked below.
	data := filepath.Join(scratch, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return "", fmt.Errorf("create download directory: %w", err)
	}
	major, _, _ := strings.Cut(string(downloadVersion), ".")
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(major+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("prepare download directory: %w", err)
	}
	port, err := freePort(ctx)
	if err != nil {
		return "", err
	}
	unpacked := filepath.Join(scratch, "postgres")
	startErr := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(downloadVersion).
		Port(uint32(port)). //nolint:gosec // a port fits
		BinaryRepositoryURL(repository).
		CachePath(cache).
		BinariesPath(unpacked).
		RuntimePath(filepath.Join(scratch, "run")).
		DataPath(data).
		Logger(io.Discard)).Start()
	if _, ok := (finder{}).usable(filepath.Join(unpacked, "bin")); !ok {
		return "", fmt.Errorf("download PostgreSQL %s: %w", downloadVersion, startErr)
	}
	if err := os.RemoveAll(home); err != nil {
		return "", fmt.Errorf("remove incomplete %s: %w", home, err)
	}
	if err := os.Rename(unpacked, home); err != nil {
		return "", fmt.Errorf("install %s: %w", home, err)
	}
	return bin, nil
}
