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

// mapErr turns driver errors into domain errors, in one place at the edge of this package: by code and type, never by
// text.
func mapErr(err error) error {
	if err == nil {
		return nil
	}
	var domain *hook.Error
	if errors.As(err, &domain) {
		return err
	}
	if isConnectError(err) {
		// Whatever the server's reason, the store is unavailable.
		return hook.Unavailable("the store", err)
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return mapPgErr(pg, err)
	}
	var network net.Error
	switch {
	case errors.As(err, &network), errors.Is(err, puddle.ErrClosedPool), pgconn.SafeToRetry(err),
		// This is how a statement ends on a server that was killed.
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

// mapPgErr maps by SQLSTATE (PostgreSQL manual, appendix A).
func mapPgErr(pg *pgconn.PgError, err error) error {
	switch pg.Code {
	case tooManyDeliveries:
		return tooMany(pg.Detail)
	case tenantDeleted:
		return hook.NoTenant()
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

// taken names the thing that exists already, for a violated unique index.
func taken(pg *pgconn.PgError) string {
	switch pg.TableName {
	case "tenants":
		return "a tenant with this external_id"
	case "api_keys":
		return "an API key with this text"
	case "portal_sessions":
		return "a portal session with this token"
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

// errStatementTimeout is wrapped by the error of a shared statement that ran out of time.
var errStatementTimeout = errors.New("the statement took too long")

// isStuck reports whether a statement failed because of other sessions' locks, or ran out of time. The store is
// available, and a part of the statement's work may be possible.
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

// isReferred reports whether a row can't be deleted because other rows refer to it.
func isReferred(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "23503" // foreign_key_violation
}

// isUnavailable reports whether other statements would fail as well: the store is unavailable, or the work was
// canceled.
func isUnavailable(err error) bool {
	return err != nil && !isStuck(err) && (hook.KindOf(mapErr(err)) == hook.KindUnavailable || errors.Is(err, context.Canceled))
}

func isConnectError(err error) bool {
	var connect *pgconn.ConnectError
	return errors.As(err, &connect)
}

// notFound names the missing thing, which mapErr can't.
func notFound(what string, err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return hook.NotFound(what)
	}
	return mapErr(err)
}
