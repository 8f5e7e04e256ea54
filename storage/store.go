// Package storage keeps Grapnel's state in PostgreSQL: webhooks, events, deliveries, attempts, API keys. It is the
// source of truth for Temporal's workflows. One method is one transaction; concurrent publishes, recordings and
// look-ups share transactions (group). SQL stands beside the method that uses it. Driver errors are turned into
// domain errors in one place, mapErr. The package must not import Temporal or Huma. Its invariant: an event and all
// its delivery rows appear together or not at all.
package storage

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
	"grapnel/internal/secrets"
)

// Config is the configuration of a Store.
type Config struct {
	// URL is a PostgreSQL connection string; pool_max_conns in it sizes the pool (default: the larger of 4 and the
	// number of CPUs). Lists use up to 2 connections more, which are opened on demand.
	URL string
	// DirectURL is the URL of PostgreSQL itself, if URL is a connection pooler's; ListenTopics needs it. The default
	// is URL.
	DirectURL string
	// Box seals and opens secrets.
	Box *secrets.Box
	// Metrics counts the store's work; nil counts nothing.
	Metrics Metrics
	// Limits bound a tenant's usage.
	Limits Limits
	// Owner is called by each statement that accepts events, right before it runs. It returns the process that makes
	// their first attempts, which the outbox names as their owner; the zero value is none. So is a nil Owner.
	Owner func() hook.ProcessID
}

// Limits bound a tenant's usage; 0 is no limit.
type Limits struct {
	// EventTypes is how many event types of its own a tenant may have.
	EventTypes int
	// Deliveries is how many deliveries one request may make.
	Deliveries int
	// Webhooks is how many webhooks a tenant may have, if it has no limit of its own (K7).
	Webhooks int
}

// Store is the PostgreSQL store. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	// lists are the connections for reading lists, so that publishing never waits for readers.
	lists *pgxpool.Pool
	box   *secrets.Box
	// placed reports whether secrets are sealed in secrets.FormPlace. It never becomes false again.
	placed atomic.Bool
	// pooler detects a connection pooler between the store and the server.
	pooler *pooler
	// direct is the configuration of connections to the server itself; nil is the pool's.
	direct  *pgx.ConnConfig
	metrics Metrics
	limits  Limits
	// owner is the configuration's Owner; it is never nil.
	owner func() hook.ProcessID
	// origin marks this store's own notifications.
	origin string
	// Concurrent publishes, recordings and look-ups share statements.
	publishing *group[*publishing]
	recordings *group[*recording]
	keys       *group[*keyLookup]
	eventTypes *group[*typesLookup]
	cache      publishCache
	// cleanCursors are how far each of cleanedTables has been cleaned.
	cleanCursors [cleanedCount]cursor
}

// Open prepares a pool; it does not connect, so that a process can start while the database is unavailable.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Box == nil {
		return nil, errors.New("open store: no encryption keys")
	}
	if cfg.Metrics == nil {
		cfg.Metrics = noMetrics{}
	}
	if cfg.Owner == nil {
		cfg.Owner = func() hook.ProcessID { return hook.ProcessID{} }
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		// pgx redacts the password in its parse errors.
		return nil, fmt.Errorf("open store: %w", err)
	}
	withDefaults(pc.ConnConfig)
	var direct *pgx.ConnConfig
	if cfg.DirectURL != "" {
		if direct, err = pgx.ParseConfig(cfg.DirectURL); err != nil {
			return nil, fmt.Errorf("open store: direct: %w", err)
		}
		withDefaults(direct)
	}
	between := &pooler{chosen: strings.Contains(cfg.URL, "default_query_exec_mode")}
	pc.BeforeConnect = between.beforeConnect
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		// Without this, timestamptz values are in the process's local zone.
		conn.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID,
			Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		return between.afterConnect(ctx, conn)
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lists, err := pgxpool.NewWithConfig(ctx, forLists(pc))
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{
		pool: pool, lists: lists, box: cfg.Box, pooler: between, direct: direct,
		metrics: cfg.Metrics, limits: cfg.Limits, owner: cfg.Owner, origin: newOrigin(),
	}
	s.publishing, s.recordings = s.newPublishGroup(), s.newRecordGroup()
	s.keys, s.eventTypes = s.newKeyGroup(), s.newEventTypeGroup()
	return s, nil
}

// listConnections is how many lists are read at once.
const listConnections = 2

// forLists returns the configuration of the pool for lists, which keeps no idle connections.
func forLists(pc *pgxpool.Config) *pgxpool.Config {
	lists := pc.Copy()
	lists.MaxConns, lists.MinConns, lists.MinIdleConns = listConnections, 0, 0
	return lists
}

// withDefaults fills in what the URL does not set.
func withDefaults(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "grapnel"
	}
	// A server that is gone without closing the connection is noticed after half a minute, even by a connection that
	// only waits for notifications.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	c.DialFunc = dialer.DialContext
	// A server that has become a standby keeps its connections. Closing this one makes the next connection go to the
	// primary, if there is one.
	closes := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != "25006" && (closes == nil || closes(conn, err)) // read_only_sql_transaction
	}
}

// Bounds of shared statements.
const (
	// maxRows is how many rows a statement has at most; the deliveries of publications don't count.
	maxRows = 500
	// maxStatementDeliveries is how many deliveries a statement makes at most, unless one publication alone has
	// more: about 0.1 s of work.
	maxStatementDeliveries = 5_000
	// maxStatements is how many statements of a lane are under way at once.
	maxStatements = 2
)

// newPublishGroup returns the group of publications. A publication weighs as much as it will have deliveries.
func (s *Store) newPublishGroup() *group[*publishing] {
	return &group[*publishing]{
		name: measure.GroupPublish, count: s.metrics.Grouped, do: s.publishAll,
		bytes: (*publishing).bytes, weight: s.fanOut, maxWeight: maxStatementDeliveries, maxRunners: maxStatements,
		lane: (*publishing).lane, locks: (*publishing).locks,
		tenant: func(p *publishing) hook.TenantID { return p.TenantID },
	}
}

// recordLinger is how long results of attempts wait for others to share their statement with. Nobody waits for a
// result as a caller waits for the answer to a publish; a kill meanwhile costs a repetition, as one during the request.
const recordLinger = 25 * time.Millisecond

// newRecordGroup returns the group of recordings of attempts.
func (s *Store) newRecordGroup() *group[*recording] {
	return &group[*recording]{
		name: measure.GroupRecord, count: s.metrics.Grouped, do: s.recordAll,
		rows: (*recording).rows, bytes: (*recording).bytes, maxWeight: maxRows, maxRunners: maxStatements,
		lane: (*recording).lane, locks: (*recording).locks, stillLocked: s.lockedElsewhere, linger: recordLinger,
	}
}

// newKeyGroup returns the group of look-ups of API keys.
func (s *Store) newKeyGroup() *group[*keyLookup] {
	return &group[*keyLookup]{
		name: measure.GroupAPIKeys, count: s.metrics.Grouped, do: s.lookUpKeys, maxWeight: maxRows, maxRunners: maxStatements,
	}
}

// newEventTypeGroup returns the group of look-ups of event types.
func (s *Store) newEventTypeGroup() *group[*typesLookup] {
	return &group[*typesLookup]{
		name: measure.GroupEventTypes, count: s.metrics.Grouped, do: s.lookUpTypes, maxWeight: maxRows, maxRunners: maxStatements,
		rows: func(l *typesLookup) int { return len(l.names) },
	}
}

// Close waits for connections in use and closes the pools.
func (s *Store) Close() {
	s.lists.Close()
	s.pool.Close()
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return mapErr(fmt.Errorf("ping: %w", err))
	}
	return nil
}

// Ready reports whether the database answers and has all migrations.
func (s *Store) Ready(ctx context.Context) error {
	var version int64
	err := s.pool.QueryRow(ctx, `select coalesce(max(version_id), 0) from goose_db_version where is_applied`).Scan(&version)
	var pg *pgconn.PgError
	if err != nil && (!errors.As(err, &pg) || pg.Code != "42P01") { // undefined_table: there was no migration yet
		return mapErr(fmt.Errorf("read migration version: %w", err))
	}
	if want := latestMigration(); version < want {
		return fmt.Errorf("database is at migration %d of %d: run grapnel migrate", version, want)
	}
	return nil
}

// PoolStat returns the pool's statistics for metrics, without the connections for lists.
func (s *Store) PoolStat() *pgxpool.Stat { return s.pool.Stat() }
