//go:build unix

package pgtest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"testing"
	"time"

	"grapnel/internal/postgres"
)

// testConns lets many parallel tests hold a pool each.
const testConns = 300

// shared is the server of this test process. Tests cannot hand it to each
// other, so it is a global; the Once makes it write-once.
var shared cluster //nolint:gochecknoglobals // see above

// cluster is a server that tests create databases on: started here at first use, or named by the environment.
type cluster struct {
	once   sync.Once
	admin  string           // URL of the database to run CREATE DATABASE from
	server *postgres.Server // nil if the environment names the server
	err    error
	keeper *keeper // nil if the environment names the server
	front  string  // the keeper's URL
	// image is the template with which the server begins; nil is none.
	image *Template

	mu    sync.Mutex
	made  map[string]bool  // template databases known to exist; guarded by mu
	pools map[string]*pool // by the template's key; guarded by mu
}

// url returns the URL of the administration database, starting the server if
// need be.
func (c *cluster) url(ctx context.Context) (string, error) {
	c.once.Do(func() {
		for _, name := range []string{"TEST_DATABASE_URL", "DATABASE_URL"} {
			if c.admin = os.Getenv(name); c.admin != "" {
				return
			}
		}
		// The server outlives the test that happens to be first.
		c.server, c.err = postgres.Start(context.WithoutCancel(ctx), postgres.Options{
			MaxConnections: testConns,
			// An automatic vacuum would change the databases at random times.
			Settings: map[string]string{"autovacuum": "off"},
			Image:    c.image.image(),
		})
		if c.err != nil {
			return
		}
		c.admin = c.server.URL(postgres.Superuser)
		c.keeper, c.front, c.err = newKeeper(context.WithoutCancel(ctx), c.admin)
	})
	return c.admin, c.err
}

// image returns the content of a server with the template.
func (t *Template) image() *postgres.Image {
	if t == nil {
		return nil
	}
	return &postgres.Image{
		Key: time.Now().UTC().Format(time.DateOnly) + " " + t.Key,
		Fill: func(ctx context.Context, s *postgres.Server) error {
			return ensure(ctx, s.URL(postgres.Superuser), t.database(), t.Migrate)
		},
	}
}

// stop stops the server if cluster has started it, and prevents a later start.
func (c *cluster) stop(ctx context.Context) error {
	c.once.Do(func() { c.err = fmt.Errorf("the tests are over") })
	if c.server == nil {
		return c.dropFree(ctx)
	}
	var err error
	if c.keeper != nil {
		err = c.keeper.close()
	}
	return errors.Join(err, c.server.Stop(ctx))
}

// Main runs a package's tests and then stops the server that New started. It
// has the method of *testing.M, so that it fits in TestMain where that would:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main{M: m}) }
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main{M: m}.Run()) }
//
// Without it, as when a test process is killed, the server ends with the
// process all the same, and a later run removes its directory.
type Main struct {
	M *testing.M
	// Template is that of most tests. It is kept in the user's cache directory, so that the next test process begins
	// with it instead of migrating. Therefore its key must be a hash of all that makes its content; the current day
	// is part of it anyway, since migrations may make partitions. The zero value keeps none.
	Template Template
}

// collectAt is the garbage collector's GOGC for tests, unless the environment has another: almost all of their memory
// is garbage soon.
const collectAt = 400

// perCore is how many tests run at once for each core, unless -parallel says another number: many wait for a time to
// pass.
const perCore = 2

// Run returns the exit code.
func (m Main) Run() int {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if err := moreAtOnce(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	if m.Template.Migrate != nil {
		shared.image = &m.Template
	}
	code := m.M.Run()
	if err := shared.stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return max(code, 1)
	}
	return code
}

// moreAtOnce sets the default of -parallel.
func moreAtOnce() error {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if given {
		return nil
	}
	return flag.Set("test.parallel", strconv.Itoa(perCore*runtime.GOMAXPROCS(0)))
}
