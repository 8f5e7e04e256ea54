package storage

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/singleflight"

	"grapnel/internal/hook"
)

// A connection pooler in transaction mode (such as pgbouncer) lends a connection to PostgreSQL for one transaction at
// a time: whatever is left on it afterwards, a named statement, a setting, a LISTEN, is another client's the next
// time. The store uses these only for speed, so it is enough to detect a pooler. No setting is needed for that: when
// a connection starts, a server announces its process id, and a pooler makes one up.

// pooler knows whether there is a connection pooler.
type pooler struct {
	// chosen reports whether the URL has default_query_exec_mode: then the operator has decided.
	chosen  bool
	between atomic.Bool
	asked   atomic.Bool
	asking  singleflight.Group
}

// beforeConnect chooses how statements are sent. Behind a pooler they have no names (cache_describe: their types are
// kept, not their plans).
func (p *pooler) beforeConnect(ctx context.Context, c *pgx.ConnConfig) error {
	if p.chosen {
		return nil
	}
	if !p.asked.Load() {
		if err := p.ask(ctx, c); err != nil {
			return err
		}
	}
	if p.between.Load() {
		c.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
	}
	return nil
}

// ask detects a pooler, once for all callers, over a connection of its own: the callers' connections need to know
// before they are opened.
func (p *pooler) ask(ctx context.Context, c *pgx.ConnConfig) error {
	probe := c.Copy()
	answer := p.asking.DoChan("", func() (any, error) {
		if p.asked.Load() {
			return nil, nil
		}
		// Connecting is bounded by the configuration's ConnectTimeout.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*probe.ConnectTimeout)
		defer cancel()
		conn, err := pgx.ConnectConfig(ctx, probe)
		if err != nil {
			return nil, err
		}
		defer conn.Close(ctx) //nolint:errcheck // nothing was written
		pooled, err := isPooled(ctx, conn)
		if err != nil {
			return nil, err
		}
		p.between.Store(pooled)
		p.asked.Store(true)
		return nil, nil
	})
	select {
	case a := <-answer:
		return a.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errPooler fails a connection that was opened for a server without a pooler.
var errPooler = errors.New("there is a connection pooler now that was not there before")

// sessionSettings returns the settings of a session. Behind a pooler they belong to the role (docs/operating.md).
// They are no start-up parameters, which poolers refuse.
func sessionSettings() [][2]string {
	return [][2]string{
		// Planning a statement over a month of partitions takes longer than executing it, and the statements are
		// written so that plans for one event and for many are alike.
		{"plan_cache_mode", "force_generic_plan"},
		// By its estimates, the planner finds an empty index over a month of partitions worth compiling and parallel
		// workers.
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		// A row that stays locked must not stop all later statements.
		{"lock_timeout", settingValue(sessionLockTimeout)},
		// A process that stands still in a transaction loses its locks, and so does one that can't be reached any
		// more. On a Unix socket, or on a system without such a setting, the last four change nothing.
		{"idle_in_transaction_session_timeout", settingValue(15 * time.Second)},
		{"tcp_user_timeout", settingValue(30 * time.Second)},
		{"tcp_keepalives_idle", "15"},
		{"tcp_keepalives_interval", "5"},
		{"tcp_keepalives_count", "3"},
	}
}

func settingValue(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// setSession applies the session's settings, unless there is a pooler, and reports whether there is one.
func setSession(ctx context.Context, conn *pgx.Conn) (pooled bool, err error) {
	var settings []string
	for _, s := range sessionSettings() {
		settings = append(settings, fmt.Sprintf(`set_config('%s', '%s', false)`, s[0], s[1]))
	}
	tag, err := conn.Exec(ctx, fmt.Sprintf(`select %s where pg_backend_pid() = %d`, strings.Join(settings, ", "), conn.PgConn().PID()))
	return err == nil && tag.RowsAffected() == 0, err
}

// afterConnect applies the session's settings, unless there is a pooler.
func (p *pooler) afterConnect(ctx context.Context, conn *pgx.Conn) error {
	pooled, err := setSession(ctx, conn)
	if err != nil {
		return err
	}
	p.between.Store(pooled)
	if pooled && !p.chosen && conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		return hook.Unavailable("the store", errPooler)
	}
	return nil
}

// isPooled reports whether the connection leads to a pooler instead of the server itself.
func isPooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var pid uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return false, err
	}
	return pid != conn.PgConn().PID(), nil
}
