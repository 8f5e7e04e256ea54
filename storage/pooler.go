package storage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

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

// afterConnect sets what is a session's, where there is a session.
func (p *pooler) afterConnect(ctx context.Context, conn *pgx.Conn) error {
	// Planning a statement over a month of partitions takes longer than doing it, and
	// plans made for one event and for many are alike: the statements see to that. Not
	// a start-up parameter: connection poolers refuse those.
	tag, err := conn.Exec(ctx, fmt.Sprintf(`select set_config('plan_cache_mode', 'force_generic_plan', false) where pg_backend_pid() = %d`, conn.PgConn().PID()))
	if err != nil {
		return err
	}
	pooled := tag.RowsAffected() == 0
	p.between.Store(pooled)
	if pooled && !p.chosen && conn.Config().DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		return hook.Unavailable("the store", errPooler)
	}
	return nil
}

// isPooled tells whether it is not the server itself that the connection leads to.
func isPooled(ctx context.Context, conn *pgx.Conn) (bool, error) {
	var pid uint32
	if err := conn.QueryRow(ctx, `select pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return false, err
	}
	return pid != conn.PgConn().PID(), nil
}
