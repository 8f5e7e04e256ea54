package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrateLock is the number that goose's own session lock has: binaries that use
// that and binaries that don't wait for each other.
const migrateLock = lock.DefaultLockID

// Migrate brings the database at url up to date and returns how many migrations
// it ran. It is safe to run from several processes at once: they queue on a lock. It
// works through a connection pooler in transaction mode, which has to have two
// connections for it.
func Migrate(ctx context.Context, url string) (ran int, err error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	if cfg.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		cfg.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe // no named statements
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, dir)
	if err != nil {
		return 0, fmt.Errorf("migrate: %w", err)
	}
	unlock, err := lockMigrations(ctx, db)
	if err != nil {
		return 0, mapErr(fmt.Errorf("migrate: lock: %w", err))
	}
	defer func() { err = errors.Join(err, unlock()) }()
	results, err := provider.Up(ctx)
	if err != nil {
		return len(results), mapErr(fmt.Errorf("migrate: %w", err))
	}
	return len(results), nil
}

// lockMigrations waits until no other process migrates. The lock is a transaction's,
// which stays open beside the migrations and holds back nothing: a session's would be
// left to somebody else behind a connection pooler.
func lockMigrations(ctx context.Context, db *sql.DB) (unlock func() error, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, statement := range []string{
		`set local idle_in_transaction_session_timeout = 0`,
		`set local lock_timeout = 0`, // that another process migrates may take long, whatever the role's setting
		fmt.Sprintf(`select pg_advisory_xact_lock(%d)`, migrateLock),
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(err, tx.Rollback())
		}
	}
	return tx.Rollback, nil
}

// MigrationsKey identifies the set of migrations, for template databases in tests.
func MigrationsKey() string {
	return strconv.FormatInt(latestMigration(), 10) + "-" + migrationsHash()
}

// latestMigration is the highest version embedded in this binary.
func latestMigration() int64 {
	var latest int64
	for _, name := range migrationNames() {
		number, _, _ := strings.Cut(name, "_")
		if v, err := strconv.ParseInt(number, 10, 64); err == nil {
			latest = max(latest, v)
		}
	}
	return latest
}

func migrationNames() []string {
	entries, err := migrations.ReadDir("migrations")
	if err != nil {
		panic("storage: embedded migrations: " + err.Error()) // can't be: the directory is in the binary
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
	return hex.EncodeToString(h.Sum(nil)[:8])
}
