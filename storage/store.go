// Package storage keeps Grapnel's state in PostgreSQL: webhooks, events,
// deliveries, attempts, API keys. It is the truth that Temporal's workflows work
// from. One method is one transaction, which publishes, recordings and look-ups
// share with what comes at the same time (group); SQL stands beside the method it
// serves; driver errors are turned into the domain's once, in mapErr. It must not import
// Temporal or Huma. Its invariant: an event and all its delivery rows appear
// together or not at all.
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

// Config is what Open needs.
type Config struct {
	// URL is a PostgreSQL connection string; pool_max_conns in it sizes the pool
	// (default: the larger of 4 and the number of CPUs). Lists are read through up to 2
	// connections more, which are opened when somebody lists.
	URL string
	// DirectURL is PostgreSQL itself, where URL is a connection pooler: ListenTopics
	// needs it. Empty is URL.
	DirectURL string
	// Box seals secrets.
	Box *secrets.Box
	// Metrics counts what is done; nil counts nothing.
	Metrics Metrics
	// Limits bound what a tenant may have.
	Limits Limits
}

// Limits bound what a tenant may have; 0 is no limit.
type Limits struct {
	// EventTypes is how many types of its own a tenant may have.
	EventTypes int
	// Deliveries is how many deliveries one request may make.
	Deliveries int
}

// Store is the one store. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	// lists are the connections that lists are read through: publishing never waits for
	// those who read.
	lists *pgxpool.Pool
	box   *secrets.Box
	// placed says that the store seals in secrets.FormPlace, for good.
	placed atomic.Bool
	// pooler is what may be between us and the server.
	pooler *pooler
	// direct is how to connect to the server itself; nil is as the pool does.
	direct  *pgx.ConnConfig
	metrics Metrics
	limits  Limits
	// origin marks this store's own notifications.
	origin string
	// Publishes, recordings and look-ups that come at the same time share statements.
	publishing group[*publishing]
	recordings group[*recording]
	keys       group[*keyLookup]
	eventTypes group[*typesLookup]
	recalled   memory
	// cleaned is how far each of cleanedTables has been looked at.
	cleaned [cleanedCount]place
	// start is told of operational events that are to be delivered.
	start func(hook.Start)
}

// OnOperational has events that the store itself has published taken on to their
// workflows; start must not wait. Without it the sweeper sees to them. Call it before
// the store is used.
func (s *Store) OnOperational(start func(hook.Start)) { s.start = start }

// Open prepares a pool; it does not connect, so that a process can start while
// the database is away.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if cfg.Box == nil {
		return nil, errors.New("open store: no encryption keys")
	}
	if cfg.Metrics == nil {
		cfg.Metrics = uncounted{}
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
		// Without it timestamptz scans in the process's local zone.
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
	s := &Store{pool: pool, lists: lists, box: cfg.Box, pooler: between, direct: direct, metrics: cfg.Metrics, limits: cfg.Limits, origin: newOrigin(), start: func(hook.Start) {}}
	s.share()
	return s, nil
}

// listConnections is how many lists are read at once.
const listConnections = 2

// forLists is how the pool of lists is made, which keeps no connection open that nobody
// uses.
func forLists(pc *pgxpool.Config) *pgxpool.Config {
	lists := pc.Copy()
	lists.MaxConns, lists.MinConns, lists.MinIdleConns = listConnections, 0, 0
	return lists
}

// withDefaults fills in what the URL leaves open.
func withDefaults(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "grapnel"
	}
	// A server that has gone without a word is noticed after half a minute, also by a
	// connection that waits for nothing but notifications.
	dialer := net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	c.DialFunc = dialer.DialContext
	// A server that has become a standby has kept the connection. The next one leads to
	// the primary, if there is one.
	closes := c.OnPgError
	c.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		return err.Code != "25006" && (closes == nil || closes(conn, err)) // read_only_sql_transaction
	}
}

// Bounds of shared statements.
const (
	// rowsTogether is how many rows a statement has at most, deliveries of publications
	// left out.
	rowsTogether = 500
	// deliveriesTogether is how many deliveries a statement makes at most, unless one
	// publication alone has more: some 0.1 s of work.
	deliveriesTogether = 5_000
	// statementsAtOnce is how many of a lane's are under way at once.
	statementsAtOnce = 2
)

// share sets up what shares statements.
func (s *Store) share() {
	p := &s.publishing
	p.do, p.bytes, p.weight = s.publishAll, (*publishing).bytes, s.fanOut
	p.lane, p.locks = (*publishing).lane, (*publishing).locks
	p.together, p.atOnce = deliveriesTogether, statementsAtOnce
	r := &s.recordings
	r.do, r.rows, r.bytes = s.recordAll, (*recording).rows, (*recording).bytes
	r.lane, r.locks, r.held = (*recording).lane, (*recording).locks, s.heldByOthers
	r.together, r.atOnce = rowsTogether, statementsAtOnce
	s.keys.do, s.keys.together, s.keys.atOnce = s.lookUpKeys, rowsTogether, statementsAtOnce
	s.eventTypes.do, s.eventTypes.together, s.eventTypes.atOnce = s.lookUpTypes, rowsTogether, statementsAtOnce
	s.eventTypes.rows = func(l *typesLookup) int { return len(l.names) }
	s.publishing.name, s.recordings.name, s.keys.name, s.eventTypes.name = measure.GroupPublish, measure.GroupRecord, measure.GroupAPIKeys, measure.GroupEventTypes
	count := s.metrics.Grouped
	s.publishing.count, s.recordings.count, s.keys.count, s.eventTypes.count = count, count, count, count
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

// PoolStat tells how the connections are used, for metrics; those of lists left out.
func (s *Store) PoolStat() *pgxpool.Stat { return s.pool.Stat() }
