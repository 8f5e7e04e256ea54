package stack

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/tools/common/schema"
	sqltool "go.temporal.io/server/tools/sql"

	"grapnel/deploy/temporal"
)

const (
	// TemporalDatabase is the name of Temporal's database of workflows.
	TemporalDatabase = "temporal"
	// VisibilityDatabase is the name of Temporal's database for searching workflows.
	VisibilityDatabase = "temporal_visibility"

	// mainConns and visibilityConns are the connections of each service. Under load only the history service uses all
	// of its connections.
	mainConns       = 20
	visibilityConns = 10
	// TemporalConns is the largest number of connections that all four services take.
	TemporalConns = 4 * (mainConns + visibilityConns)
)

// temporalStore is the PostgreSQL server in which Temporal stores its data.
type temporalStore struct {
	addr, user, password string
	attributes           map[string]string // of the connection URL
}

// parseTemporalStore splits a postgres:// URL into the parts that Temporal's configuration needs. It ignores the
// database.
func parseTemporalStore(databaseURL string) (temporalStore, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") || u.User == nil {
		// The error omits its cause, which would show the password.
		return temporalStore{}, errors.New("the database address must be a postgres://user@host/database URL")
	}
	s := temporalStore{addr: u.Host, user: u.User.Username(), attributes: make(map[string]string)}
	s.password, _ = u.User.Password()
	if s.addr == "" {
		s.addr = "localhost" // a socket: the attribute host, which wins, names it
	}
	for name, values := range u.Query() {
		s.attributes[name] = values[0]
	}
	return s, nil
}

// sql returns the configuration for one of the databases.
func (s temporalStore) sql(database string, conns int) *config.SQL {
	return &config.SQL{
		PluginName:        postgresql.PluginNamePGX,
		ConnectProtocol:   "tcp",
		ConnectAddr:       s.addr,
		ConnectAttributes: maps.Clone(s.attributes),
		User:              s.user,
		Password:          s.password,
		DatabaseName:      database,
		MaxConns:          conns,
		MaxIdleConns:      conns,
		MaxConnLifetime:   time.Hour,
	}
}

// visibilitySQL commits without waiting for the disk: the visibility store is an index of the main store, and a crash
// can lose only its last moments.
func (s temporalStore) visibilitySQL() *config.SQL {
	c := s.sql(VisibilityDatabase, visibilityConns)
	c.ConnectAttributes["synchronous_commit"] = "off"
	return c
}

// setUpSchemas creates missing databases and updates their schemas to the version of the linked server.
func setUpSchemas(ctx context.Context, databaseURL string, store temporalStore, logger *temporalLogger) error {
	for database, name := range map[string]string{
		TemporalDatabase:   "postgresql/v12/temporal",
		VisibilityDatabase: "postgresql/v12/visibility",
	} {
		if err := setUpSchema(ctx, databaseURL, store, database, name, logger); err != nil {
			return fmt.Errorf("set up database %s: %w", database, err)
		}
	}
	if err := dropUnusedIndexes(ctx, databaseURL); err != nil {
		return fmt.Errorf("drop unused indexes of %s: %w", VisibilityDatabase, err)
	}
	return nil
}

// dropUnusedIndexes drops the indexes of the visibility store that Grapnel has no use for: they are most of its work.
func dropUnusedIndexes(ctx context.Context, databaseURL string) error {
	visibility, err := onServer(databaseURL, VisibilityDatabase)
	if err != nil {
		return err
	}
	return OnDatabase(ctx, visibility, func(conn *pgx.Conn) error {
		rows, _ := conn.Query(ctx, temporal.VisibilityIndexes())
		statements, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		// Nobody uses the database yet, so all can go at once.
		_, err = conn.Exec(ctx, strings.ReplaceAll(strings.Join(statements, ";"), " concurrently", ""))
		return err
	})
}

// onServer returns the address of another database of the server.
func onServer(databaseURL, database string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "", errors.New("the database address must be a postgres://user@host/database URL")
	}
	u.Path = "/" + database
	return u.String(), nil
}

func setUpSchema(ctx context.Context, databaseURL string, store temporalStore, database, name string, logger *temporalLogger) error {
	if err := dropHalfMade(ctx, databaseURL, database); err != nil {
		return err
	}
	const anyConn = 1
	// DoCreateDatabase changes the configuration that it gets, so it gets its own.
	if err := sqltool.DoCreateDatabase(store.sql(database, anyConn), "postgres", logger); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	marked, err := markHalfMade(ctx, databaseURL, database)
	if err != nil {
		return err
	}
	conn, err := sqltool.NewConnection(store.sql(database, anyConn), logger)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close()
	// Both tasks skip the steps that are done already.
	if err := schema.NewSetupSchemaTask(conn, &schema.SetupConfig{InitialVersion: "0.0"}, logger).Run(); err != nil {
		return fmt.Errorf("make version tables: %w", err)
	}
	update := &schema.UpdateConfig{DBName: database, SchemaName: name}
	if err := schema.NewUpdateSchemaTask(conn, update, logger).Run(); err != nil {
		return fmt.Errorf("update schema: %w", err)
	}
	if !marked {
		return nil
	}
	return note(ctx, databaseURL, database, "null")
}

// halfMade is the comment on a database whose first schema is being created. A killed process leaves a schema that
// the next update cannot continue.
const halfMade = "half made"

// dropHalfMade drops the database if its first schema was never finished. Such a database holds no data.
func dropHalfMade(ctx context.Context, databaseURL, database string) error {
	return OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		var half bool
		err := conn.QueryRow(ctx, `select exists (select from pg_database where datname = $1 and shobj_description(oid, 'pg_database') = $2)`,
			database, halfMade).Scan(&half)
		if err != nil || !half {
			return err
		}
		_, err = conn.Exec(ctx, `drop database `+pgx.Identifier{database}.Sanitize()+` with (force)`)
		return err
	})
}

// markHalfMade marks the database if it has no schema yet, and reports whether it did.
func markHalfMade(ctx context.Context, databaseURL, database string) (marked bool, err error) {
	address, err := onServer(databaseURL, database)
	if err != nil {
		return false, err
	}
	err = OnDatabase(ctx, address, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `select to_regclass('schema_version') is null`).Scan(&marked)
	})
	if err != nil || !marked {
		return false, err
	}
	return true, note(ctx, databaseURL, database, "'"+halfMade+"'")
}

// note sets the database's comment to an SQL literal.
func note(ctx context.Context, databaseURL, database, comment string) error {
	return OnDatabase(ctx, databaseURL, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `comment on database `+pgx.Identifier{database}.Sanitize()+` is `+comment)
		return err
	})
}
