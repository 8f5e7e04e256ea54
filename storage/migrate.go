package storage

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"grapnel/internal/wait"
)

//go:embed migrations/*.sql
var migrations embed.FS

// before has what migrations written in Go run first.
//
//go:embed migrations/before/*.sql
var before embed.FS

// migrateLock is the number of goose's own session lock, so that binaries that use goose's lock and binaries that use
// this one wait for each other.
const migrateLock = lock.DefaultLockID

const (
	defaultPatience = 10 * time.Minute
	// Between two tries, publishing has the tables for itself for at least as long as it may have waited for the
	// lock.
	firstPause, longestPause = time.Second, 15 * time.Second
)

// Migrator brings a database up to date while other processes use it.
type Migrator struct {
	// URL is a PostgreSQL connection string. It may be the URL of a connection pooler in transaction mode, which must
	// have two connections for it.
	URL string
	// Patience is how long a migration that gets no lock, because of a backup or a long query, is tried again;
	// default 10 minutes.
	Patience time.Duration
	// Logger logs migrations that are tried again, and indexes that are created; nil logs nothing.
	Logger *slog.Logger
}

// Migrate runs Migrator.Up with the defaults.
func Migrate(ctx context.Context, url string) (ran int, err error) {
	m := Migrator{URL: url}
	return m.Up(ctx)
}

// Up runs the missing migrations, and returns how many. Several processes may call it at once: they wait for each
// other. No migration waits for a lock for longer than 2 s, since publishes wait behind it; it is tried again with a
// growing pause. A migration that was interrupted by a kill is continued by the next call.
func (m *Migrator) Up(ctx context.Context) (ran int, err error) {
	cfg, err := pgx.ParseConfig(m.URL)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	if cfg.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // no named statements
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := m.provider(db)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	unlock, err := lockMigrations(ctx, db)
	if err != nil {
		return 0, mapErr(fmt.Errorf("migrate: lock: %w", err))
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if ran, err = m.upWithRetries(ctx, provider); err != nil {
		return ran, mapErr(fmt.Errorf("migrate: %w", err))
	}
	return ran, nil
}

func (m *Migrator) provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithGoMigrations(m.goMigrations()...))
}

// upWithRetries runs all migrations, and repeats each while it gets no lock.
func (m *Migrator) upWithRetries(ctx context.Context, provider *goose.Provider) (ran int, err error) {
	patience := cmp.Or(m.Patience, defaultPatience)
	pause, deadline := firstPause, time.Now().Add(patience)
	for {
		results, err := provider.Up(ctx)
		var partial *goose.PartialError
		if !errors.As(err, &partial) {
			return ran + len(results), err
		}
		if len(partial.Applied) > 0 {
			ran += len(partial.Applied)
			pause, deadline = firstPause, time.Now().Add(patience)
		}
		if !isLockConflict(err) || time.Until(deadline) < pause {
			return ran, err
		}
		m.log().WarnContext(ctx, "a migration gets no lock; it is tried again", slog.Int64("migration", partial.Failed.Source.Version),
			slog.Duration("pause", pause), slog.Any("error", err))
		if err := wait.For(ctx, pause); err != nil {
			return ran, err
		}
		pause = min(2*pause, longestPause)
	}
}

// isLockConflict reports whether other sessions' locks were in the way.
func isLockConflict(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "55P03" || pg.Code == "40P01") // lock_not_available, deadlock_detected
}

func (m *Migrator) log() *slog.Logger {
	if m.Logger == nil {
		return slog.New(slog.DiscardHandler)
	}
	return m.Logger
}

// lockMigrations waits until no other process migrates. The lock belongs to a transaction, which stays open beside
// the migrations and blocks nothing: behind a connection pooler, a session's lock would be left to another user of
// the connection. A waiting process holds no connection: if there are few, the migrating process would be waiting for
// that one.
func lockMigrations(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		unlock, err := tryLockMigrations(ctx, db)
		if unlock != nil || err != nil {
			return unlock, err
		}
		if err := wait.For(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// tryLockMigrations returns nil if another process has the lock. It does not wait for the lock in the server:
// creating an index concurrently waits for all waiting transactions, and they would wait for the process that creates
// it.
func tryLockMigrations(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, `set local idle_in_transaction_session_timeout = 0`); err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	// It uses the simple protocol. Otherwise the answered statement, and with it its snapshot, stays until the next
	// one, and creating an index concurrently waits for that.
	var locked bool
	err = tx.QueryRowContext(ctx, `select pg_try_advisory_xact_lock($1)`, pgx.QueryExecModeSimpleProtocol, migrateLock).Scan(&locked)
	if err != nil || !locked {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx.Rollback, nil
}

// MigrationsKey identifies the set of migrations, for template databases in tests.
func MigrationsKey() string {
	return strconv.FormatInt(latestMigration(), 10) + "-" + migrationsHash()
}

// latestMigration returns the highest version in this binary.
func latestMigration() int64 {
	var latest int64
	for _, name := range migrationNames() {
		number, _, _ := strings.Cut(name, "_")
		if v, err := strconv.ParseInt(number, 10, 64); err == nil {
			latest = max(latest, v)
		}
	}
	for _, index := range dayIndexes() {
		latest = max(latest, index.version)
	}
	return latest
}

// migrationNames returns the names of the SQL files.
func migrationNames() []string {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		panic("storage: embedded migrations: " + err.Error()) // impossible: the directory is in the binary
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func migrationsHash() string {
	h := sha256.New()
	for _, name := range migrationNames() {
		text, err := migrations.ReadFile("migrations/" + name)
		if err != nil {
			panic("storage: embedded migrations: " + err.Error())
		}
		h.Write(text)
	}
	for _, index := range dayIndexes() {
		fmt.Fprintf(h, "%+v", index)
		for _, name := range index.before {
			text, err := before.ReadFile("migrations/before/" + name)
			if err != nil {
				panic("storage: embedded migrations: " + err.Error())
			}
			h.Write(text)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
