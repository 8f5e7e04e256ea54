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

// A connection pooler in transaction mode (pgbouncer, for one) gives a connection to
// PostgreSQL for one transaction at a time: what is left on it between two, a named
// statement, a setting, a LISTEN, is another's the next time. Nothing here needs any
// of that but as a matter of speed, so a pooler only has to be noticed. It is, without
// any setting: at the start of a connection a server tells its process's number, and a
// pooler makes one up.

// pooler knows whether there is one.
type pooler struct {
	// chosen says that the URL has default_query_exec_mode: it is the operator's to know.
	chosen  bool
	between atomic.Bool
	asked   atomic.Bool
	asking  singleflight.Group
}

// beforeConnect chooses how statements are sent. Behind a pooler they have no names
// (cache_describe: their types are kept, not their plans).
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

// ask finds out, once for all who wait, by a connection of its own: that of another
// has been opened in one way or the other.
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

// errPooler ends a connection that was opened for a server of its own.
var errPooler = errors.New("there is a connection pooler now that was not there before")

// sessionSettings are a session's, by their names. Behind a pooler they are the role's
// (docs/operating.md). They are no start-up parameters: poolers refuse those.
func sessionSettings() [][2]string {
	return [][2]string{
		// Planning a statement over a month of partitions takes longer than doing it, and
		// plans made for one event and for many are alike: the statements see to that.
		{"plan_cache_mode", "force_generic_plan"},
		// By its estimates, an empty index over a month of partitions is worth compiling
		// for, and worth further processes.
		{"jit", "off"},
		{"max_parallel_workers_per_gather", "0"},
		// A row that is locked by somebody who stands still must not stop all who come after.
		{"lock_timeout", settingValue(sessionLockTimeout)},
		// A process of ours that stands still in a transaction lets go of its locks, and
		// so does one that can't be reached any more. On a Unix socket, and where the system has
		// no such setting, the last four change nothing.
		{"idle_in_transaction_session_timeout", settingValue(15 * time.Second)},
		{"tcp_user_timeout", settingValue(30 * time.Second)},
		{"tcp_keepalives_idle", "15"},
		{"tcp_keepalives_interval", "5"},
		{"tcp_keepalives_count", "3"},
	}
}

func settingValue(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// setSession makes the settings of a session, if conn has one, and reports whether it has
// not, because there is a pooler between.
func setSession(ctx context.Context, conn *pgx.Conn) (pooled bool, err error) {
	var settings []string
	for _, s := range sessionSettings() {
		settings = append(settings, fmt.Sprintf(`set_config('%s', '%s', false)`, s[0], s[1]))
	}
	tag, err := conn.Exec(ctx, fmt.Sprintf(`select %s where pg_backend_pid() = %d`, strings.Join(settings, ", "), conn.PgConn().PID()))
	return err == nil && tag.RowsAffected() == 0, err
}

// afterConnect sets what is a session's, where there is a session.
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

// isPooled reports whether it is not the server itself that the connection leads to.
func isPooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var pid uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return false, err
	}
	return pid != conn.PgConn().PID(), nil
}
