package storage

import (
	"context"
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"grapnel/internal/hook"
)

// mapErr turns what the driver says into the domain's error, once, at the edge
// of this package. By code and type, never by text.
func mapErr(err error) error {
	if err == nil {
		return nil
	}
	var domain *hook.Error
	if errors.As(err, &domain) {
		return err
	}
	if isConnectError(err) {
		// Whatever the server's reason is, there is no store to ask.
		return hook.Unavailable("the store", err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return mapPgErr(pg, err)
	}
	var network net.Error
	switch {
	case errors.As(err, &network), errors.Is(err, puddle.ErrClosedPool), pgconn.SafeToRetry(err),
		// How a server that was killed ends a statement.
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return hook.Unavailable("the store", err)
	case errors.Is(err, errStatementTimeout):
		return hook.Unavailable("the store", err)
	case errors.Is(err, pgx.ErrNoRows):
		return &hook.Error{Kind: hook.KindNotFound, Message: "not found", Err: err}
	case errors.Is(err, context.DeadlineExceeded):
		return hook.Unavailable("the store", err)
	default:
		return err
	}
}

// mapPgErr reads SQLSTATE (PostgreSQL manual, appendix A).
func mapPgErr(pg *pgconn.PgError, err error) error {
	switch pg.Code {
	case tooManyDeliveries:
		return tooMany(pg.Detail)
	case "23505": // unique_violation
		return &hook.Error{Kind: hook.KindConflict, Message: taken(pg) + " already exists", Err: err}
	case "40001", "40P01", // serialization_failure, deadlock_detected
		"53300", "53200", "53100", // too_many_connections, out_of_memory, disk_full
		"57P01", "57P02", "57P03", // admin_shutdown, crash_shutdown, cannot_connect_now
		"57014", "55P03", "25006": // query_canceled, lock_not_available, read_only_sql_transaction: a failover
		return hook.Unavailable("the store", err)
	}
	if len(pg.Code) == 5 && pg.Code[:2] == "08" { // connection_exception
		return hook.Unavailable("the store", err)
	}
	return err
}

// taken is what there is one of already, where a unique index says so.
func taken(pg *pgconn.PgError) string {
	switch pg.TableName {
	case "tenants":
		return "a tenant with this name"
	case "api_keys":
		return "an API key with this text"
	case "webhooks":
		return "a webhook with this name in this cache"
	case "event_types":
		return "an event type with this name"
	case "replays":
		return "a replay of this webhook that is under way"
	default:
		return "what was to be stored"
	}
}

// errStatementTimeout is in the chain of the error of a shared statement that used up its time.
var errStatementTimeout = errors.New("the statement took too long")

// isStuck tells an error of a statement that met others, or itself took too long: a part
// of what it had to do may be possible. The store is there.
func isStuck(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && !isConnectError(err) {
		switch pg.Code {
		case "40001", "40P01", "57014", "55P03": // serialization_failure, deadlock_detected, query_canceled, lock_not_available
			return true
		}
	}
	return errors.Is(err, errStatementTimeout)
}

// isUnavailable tells an error that others would meet as well: there is no store to ask, or
// nobody to ask for.
func isUnavailable(err error) bool {
	return err != nil && !isStuck(err) && (hook.KindOf(mapErr(err)) == hook.KindUnavailable || errors.Is(err, context.Canceled))
}

func isConnectError(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// notFound says what was not there, where mapErr can only say that nothing was.
func notFound(what string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return hook.NotFound(what)
	}
	return mapErr(err)
}
