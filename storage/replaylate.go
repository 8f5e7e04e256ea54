package storage

import (
	"context"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// lateLook looks at the last minutes of a replay once more, after the replay has looked at all its events: the id of
// an event that was being stored meanwhile may lie behind the cursor, because its accept took long, or because of a
// slow clock. It waits for the transactions that were storing events at that time, so that no clock decides. Events
// that begin to be stored later are not the replay's: they are matched with the webhook like any event.
func lateLook(ctx context.Context, tx pgx.Tx, row *lockedReplay, w *hook.Webhook, limit int) (page replayedPage, err error) {
	r := row.replay()
	if !looksLate(&r) {
		page.exhausted = true
		return page, nil
	}
	stored, err := lateWritersEnded(ctx, tx, row)
	if err != nil || !stored {
		return page, err
	}
	r.Cursor = hook.EventID(lateFrom(&r).id)
	if row.LateCursor != nil {
		r.Cursor = *row.LateCursor
	}
	if page, err = nextPage(ctx, tx, &r, w); err != nil {
		return page, err
	}
	if page.cut(limit); row.LateCursor != nil && *row.LateCursor == page.last.id {
		return page, nil
	}
	_, err = tx.Exec(ctx, `update replays set late_cursor = $2 where id = $1`, row.ID, page.last.id)
	return page, err
}

// lateFrom returns where a replay begins to look once more.
func lateFrom(r *hook.Replay) replayPosition {
	if from := r.Until.Add(-replayLate); from.After(r.Since) {
		return positionAt(from)
	}
	return positionAt(r.Since)
}

// looksLate reports whether events of a replay's period may have been stored while it ran.
func looksLate(r *hook.Replay) bool { return r.CreatedAt.Sub(r.Until) < replayLate }

// lateWritersEnded reports whether the transactions that were storing events at its first call have ended. A
// statement that stores events locks their table before it reads the matching webhooks, and until its transaction
// ends.
func lateWritersEnded(ctx context.Context, tx pgx.Tx, row *lockedReplay) (ended bool, err error) {
	if row.LateWriters == nil {
		err = tx.QueryRow(ctx, `update replays set late_writers = `+writersNow+` where id = $1 returning late_writers`, row.ID).Scan(&row.LateWriters)
		if err != nil {
			return false, err
		}
	}
	return transactionsEnded(ctx, tx, row.LateWriters)
}

// writersNow selects the transactions that are storing events.
const writersNow = `array(
				select virtualtransaction from pg_locks
				where locktype = 'relation' and relation = 'events'::regclass and mode = 'RowExclusiveLock' and granted and pid <> pg_backend_pid()
					and database = (select oid from pg_database where datname = current_database()))`

// transactionsEnded reports whether the transactions have ended.
func transactionsEnded(ctx context.Context, q rower, transactions []string) (ended bool, err error) {
	err = q.QueryRow(ctx, `
		select not exists (select from pg_locks where locktype = 'virtualxid' and virtualxid = any($1))`, transactions).Scan(&ended)
	return ended, err
}

// rower is a pool or a transaction.
type rower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}
