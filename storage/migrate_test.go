package storage_test

import (
	"context"
	"database/sql"
	"os"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver that goose uses
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/longtest"
	"grapnel/internal/pgtest"
	"grapnel/storage"
)

// blank returns the URL of a database without migrations.
func blank(t *testing.T) string {
	t.Helper()
	return pgtest.New(t, pgtest.Template{Key: "blank"})
}

func TestMigrateTwiceRunsNothingTheSecondTime(t *testing.T) {
	t.Parallel()
	longtest.Only(t) // TestMigrate of cmd/grapnel does the same for the command
	url := blank(t)
	ran, err := storage.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.Positive(t, ran)
	ran, err = storage.Migrate(t.Context(), url)
	require.NoError(t, err)
	require.Zero(t, ran)
}

// Several processes may start at once: each migration runs once, and none fails.
func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	url, alone := blank(t), blank(t)
	want, err := storage.Migrate(t.Context(), alone)
	require.NoError(t, err)
	var total atomic.Int64
	var g errgroup.Group
	for range 2 {
		g.Go(func() error {
			ran, err := storage.Migrate(t.Context(), url)
			total.Add(int64(ran))
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.EqualValues(t, want, total.Load())
	require.NoError(t, open(t, url, encryptionKey).Ready(t.Context()))
}

// A process that waits for another's migrations holds no connection: a pooler with few connections could leave
// none for the other process.
func TestMigrateWaitsWithoutAConnection(t *testing.T) {
	t.Parallel()
	f := setup(t)
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	_, err = tx.Exec(t.Context(), `select pg_advisory_xact_lock($1)`, lock.DefaultLockID) // the lock of another process
	require.NoError(t, err)
	migrated := make(chan error, 1)
	go func() {
		_, err := storage.Migrate(context.WithoutCancel(t.Context()), f.url)
		migrated <- err
	}()
	require.Eventually(t, func() bool {
		return scalar[int](t, f, `select count(*) from pg_stat_activity where datname = current_database() and query = 'rollback'`) > 0
	}, time.Minute, time.Millisecond, "it has tried")
	require.Zero(t, scalar[int](t, f, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`))
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-migrated)
}

// Every migration can be reverted, with rows in the tables, and run again.
func TestMigrateDownAndUp(t *testing.T) {
	t.Parallel()
	longtest.Only(t)
	f := setup(t)
	f.topicWebhook(t, room(), "bot")
	message(t, f.Store, room(), "x")
	db, err := sql.Open("pgx", f.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	provider, err := goose.NewProvider(goose.DialectPostgres, db, os.DirFS("migrations"), goose.WithGoMigrations(storage.GoMigrations()...))
	require.NoError(t, err)
	down, err := provider.DownTo(t.Context(), 0)
	require.NoError(t, err)
	up, err := storage.Migrate(t.Context(), f.url)
	require.NoError(t, err)
	require.Equal(t, len(down), up)
	f.topicWebhook(t, room(), "bot")
}

// The error of Ready says what the operator must do.
func TestReady(t *testing.T) {
	t.Parallel()
	require.NoError(t, setup(t).Ready(t.Context()))

	t.Run("not on a fresh database", func(t *testing.T) {
		t.Parallel()
		err := open(t, blank(t), encryptionKey).Ready(t.Context())
		require.ErrorContains(t, err, "run grapnel migrate")
		require.ErrorContains(t, err, "at migration 0 of ")
	})
	t.Run("not on an older one", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.exec(t, `delete from goose_db_version where version_id > 0`)
		require.ErrorContains(t, f.Ready(t.Context()), "run grapnel migrate")
	})
	t.Run("on a newer one, as during a deploy", func(t *testing.T) {
		t.Parallel()
		f := setup(t)
		f.exec(t, `insert into goose_db_version (version_id, is_applied) values (99999, true)`)
		require.NoError(t, f.Ready(t.Context()))
	})
}
