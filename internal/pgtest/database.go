//go:build unix

package pgtest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// templateTime bounds waiting for, creating and migrating a template.
	templateTime = 2 * time.Minute
	// dropTime bounds the clean-up of one test.
	dropTime = 30 * time.Second
)

// Template is the content of the databases that tests get.
type Template struct {
	// Key identifies the content: a hash of the migrations, say. Templates
	// with the same key on one server are taken to be the same.
	Key string
	// Migrate fills the empty database at url and must have closed its
	// connections when it returns. Nil leaves it empty.
	Migrate func(ctx context.Context, url string) error
}

// database returns the name of the template database.
func (t *Template) database() string {
	sum := sha256.Sum256([]byte(t.Key))
	return "grapnel_template_" + hex.EncodeToString(sum[:8])
}

// New returns the URL of a database that is the test's alone and has the content of tmpl. It may be
// a database that another test has given back: that test's rows were deleted. A database in which a
// test has changed anything but rows is dropped. New starts a server at first use, or uses the one
// that TEST_DATABASE_URL or DATABASE_URL names (as a postgres:// URL of a user who may create
// databases). A failure fails the test.
func New(tb testing.TB, tmpl Template) string {
	tb.Helper()
	d, err := shared.take(tb.Context(), tmpl)
	if err != nil {
		tb.Fatalf("pgtest: %v", err)
	}
	tb.Cleanup(func() {
		// The test's context has ended.
		if err := shared.giveBack(context.WithoutCancel(tb.Context()), tmpl, d); err != nil {
			tb.Errorf("pgtest: %v", err)
		}
	})
	return d.url
}

// take returns a database that is like the template: one that was given back, or a new copy.
func (c *cluster) take(ctx context.Context, tmpl Template) (*database, error) {
	p := c.pool(tmpl)
	if d := p.take(); d != nil {
		return d, nil
	}
	address, err := c.clone(ctx, tmpl)
	if err != nil {
		return nil, err
	}
	conn, err := connectAdmin(ctx, address)
	if err != nil {
		return nil, fmt.Errorf("connect to a new database: %w", err)
	}
	d := &database{url: address, conn: conn}
	if c.keeper != nil {
		d.keeper = c.keeper
		if d.url, err = withDatabase(c.front, conn.Config().Database); err != nil {
			return nil, err
		}
	}
	return d, p.note(ctx, d)
}

// connectAdmin connects pgtest itself to a test's database.
func connectAdmin(ctx context.Context, address string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(address)
	if err != nil {
		return nil, err
	}
	// Rows are deleted and copied without triggers and checks of foreign keys. Set later, it would make PostgreSQL forget
	// all plans each time.
	c.RuntimeParams["session_replication_role"] = "replica"
	c.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	return pgx.ConnectConfig(ctx, c)
}

// giveBack keeps a database for the next test, or drops it.
func (c *cluster) giveBack(ctx context.Context, tmpl Template, d *database) error {
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	if c.pool(tmpl).giveBack(ctx, d) == nil {
		return nil
	}
	// The connections that prevented the restore end with the database.
	d.close(ctx)
	return c.drop(ctx, d.url)
}

// pool returns the template's pool.
func (c *cluster) pool(tmpl Template) *pool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pools == nil {
		c.pools = map[string]*pool{}
	}
	if c.pools[tmpl.Key] == nil {
		c.pools[tmpl.Key] = &pool{}
	}
	return c.pools[tmpl.Key]
}

// dropFree drops the databases that were given back.
func (c *cluster) dropFree(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range c.pools {
		for d := p.take(); d != nil; d = p.take() {
			d.close(ctx)
			errs = append(errs, c.drop(ctx, d.url))
		}
	}
	return errors.Join(errs...)
}

// clone makes a copy of the template and returns its URL.
func (c *cluster) clone(ctx context.Context, tmpl Template) (string, error) {
	admin, err := c.url(ctx)
	if err != nil {
		return "", err
	}
	template := tmpl.database()
	if err := c.template(ctx, admin, template, tmpl.Migrate); err != nil {
		return "", err
	}
	database := "grapnel_test_" + strings.ToLower(rand.Text())
	err = execute(ctx, admin, "CREATE DATABASE "+database+" TEMPLATE "+template+" STRATEGY file_copy")
	if err != nil {
		return "", fmt.Errorf("create database %s: %w", database, err)
	}
	return withDatabase(admin, database)
}

// template makes the template database at its first use in this process.
func (c *cluster) template(
	ctx context.Context, admin, name string, migrate func(context.Context, string) error,
) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.made[name] {
		return nil
	}
	if err := ensure(ctx, admin, name, migrate); err != nil {
		return err
	}
	if c.made == nil {
		c.made = make(map[string]bool)
	}
	c.made[name] = true
	return nil
}

func (c *cluster) drop(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, dropTime)
	defer cancel()
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("parse database URL: %w", err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	// FORCE: a test that leaks a connection should fail for that, not here.
	if err := execute(ctx, c.admin, "DROP DATABASE IF EXISTS "+database+" WITH (FORCE)"); err != nil {
		return fmt.Errorf("drop database %s: %w", database, err)
	}
	return nil
}

// ensure makes the template database unless it exists. The advisory lock
// keeps test processes that share a server from doing so twice; the rename at
// the end keeps a half-migrated database from being taken for a template.
func ensure(ctx context.Context, admin, template string, migrate func(context.Context, string) error) error {
	ctx, cancel := context.WithTimeout(ctx, templateTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, admin)
	if err != nil {
		return fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it also releases the lock; nothing to lose

	if exists, err := hasDatabase(ctx, conn, template); exists || err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", template); err != nil {
		return fmt.Errorf("lock template %s: %w", template, err)
	}
	if exists, err := hasDatabase(ctx, conn, template); exists || err != nil {
		return err
	}
	draft := template + "_draft"
	for _, sql := range []string{"DROP DATABASE IF EXISTS " + draft + " WITH (FORCE)", "CREATE DATABASE " + draft + " STRATEGY file_copy"} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("create template %s: %w", template, err)
		}
	}
	if migrate != nil {
		address, err := withDatabase(admin, draft)
		if err != nil {
			return err
		}
		if err := migrate(ctx, address); err != nil {
			return fmt.Errorf("migrate template: %w", err)
		}
	}
	// CREATE DATABASE … TEMPLATE fails while anyone is connected to it.
	for _, sql := range []string{
		"ALTER DATABASE " + draft + " ALLOW_CONNECTIONS false",
		"ALTER DATABASE " + draft + " RENAME TO " + template,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			return fmt.Errorf("finish template %s: %w", template, err)
		}
	}
	return nil
}

func hasDatabase(ctx context.Context, conn *pgx.Conn, name string) (bool, error) {
	var exists bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists)
	if err != nil {
		return false, fmt.Errorf("look for database %s: %w", name, err)
	}
	return exists, nil
}

// execute runs one statement on a connection of its own.
func execute(ctx context.Context, address, sql string) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	_ = conn.Close(context.WithoutCancel(ctx)) // err is more informative
	return err
}

// withDatabase replaces the database in a postgres:// URL.
func withDatabase(address, database string) (string, error) {
	u, err := url.Parse(address)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", fmt.Errorf("the database address must be a postgres:// URL") // it may hold a password
	}
	u.Path = "/" + database
	return u.String(), nil
}
