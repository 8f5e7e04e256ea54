package storage

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

const replayColumns = `r.id, r.tenant_id, r.webhook_id, r.status, r.event_types, r.since, r.until, r.rate, r.state, r.reason, r.cursor,
	r.looked, r.created, r.created_at, r.updated_at, r.ended_at, r.many, r.webhook_ids, r.delivery_ids, r.status_class, r.error_class, r.reference`

type replayRow struct {
	ID          [16]byte
	TenantID    [16]byte
	WebhookID   [16]byte
	Status      string
	EventTypes  []string
	Since       time.Time
	Until       time.Time
	Rate        int
	State       string
	Reason      string
	Cursor      [16]byte
	Looked      int
	Created     int
	CreatedAt   time.Time
	UpdatedAt   time.Time
	EndedAt     *time.Time
	Many        bool
	WebhookIDs  [][16]byte
	DeliveryIDs [][16]byte
	StatusClass int
	ErrorClass  string
	Reference   string
}

func (r *replayRow) replay() hook.Replay {
	replay := hook.Replay{
		ID: r.ID, TenantID: r.TenantID, WebhookID: r.WebhookID, Status: hook.ReplayStatus(r.Status), EventTypes: r.EventTypes,
		Since: r.Since, Until: r.Until, Rate: r.Rate, State: hook.ReplayState(r.State), Reason: r.Reason, Cursor: r.Cursor,
		Looked: r.Looked, Created: r.Created, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt, EndedAt: r.EndedAt,
		Many: r.Many, WebhookIDs: idsOf[hook.WebhookID](r.WebhookIDs), DeliveryIDs: idsOf[hook.DeliveryID](r.DeliveryIDs),
		StatusClass: r.StatusClass, Class: hook.ErrorClass(r.ErrorClass), Reference: r.Reference,
	}
	if r.Many {
		replay.WebhookID = hook.WebhookID{} // the column has the replay's own id
	}
	return replay
}

// idsOf turns uuid[] as the driver reads it into ids; nil stays nil.
func idsOf[T ~[16]byte](list [][16]byte) []T {
	if list == nil {
		return nil
	}
	ids := make([]T, len(list))
	for i := range list {
		ids[i] = list[i]
	}
	return ids
}

// rawOrNull is raw, and null for nil.
func rawOrNull[T ~[16]byte](ids []T) [][16]byte {
	if ids == nil {
		return nil
	}
	return raw(ids)
}

// CreateReplay stores a replay and lets it run. It is a conflict if another replay of one of its webhooks is running.
// Replays of chosen deliveries conflict with none.
func (s *Store) CreateReplay(ctx context.Context, r hook.Replay) (hook.Replay, error) {
	r.ID, r.State, r.Cursor = newID[hook.ReplayID](), hook.ReplayRunning, hook.EventID(hook.IDTime(r.Since))
	r.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	r.UpdatedAt = r.CreatedAt
	r.Since, r.Until = r.Since.UTC().Truncate(time.Millisecond), r.Until.UTC().Truncate(time.Millisecond) // the precision of ids
	if r.EventTypes == nil {
		r.EventTypes = []string{}
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := checkReplayConflict(ctx, tx, &r); err != nil {
			return err
		}
		if err := insertReplay(ctx, tx, &r); err != nil {
			return err
		}
		return auditReplay(ctx, tx, hook.AuditReplayCreated, nil, &r)
	})
	if err != nil {
		return r, mapErr(fmt.Errorf("insert replay: %w", err))
	}
	return r, nil
}

// checkReplayConflict looks for replays under way that have a webhook in common with a new one. It locks out other new
// replays of the tenant until the transaction ends. Processes of the version before don't take this lock: what keeps two
// replays from sending the same is that each step locks its webhooks.
func checkReplayConflict(ctx context.Context, tx pgx.Tx, r *hook.Replay) error {
	if r.DeliveryIDs != nil {
		return nil
	}
	webhooks := r.WebhookIDs
	if !r.Many {
		webhooks = []hook.WebhookID{r.WebhookID}
	}
	if _, err := tx.Exec(ctx, `select pg_advisory_xact_lock(hashtextextended($1, 0))`, "grapnel.replays "+r.TenantID.String()); err != nil {
		return err
	}
	var other hook.ReplayID
	err := tx.QueryRow(ctx, `
		select id from replays
		where tenant_id = $1 and ended_at is null and delivery_ids is null
			and ($2::uuid[] is null or not many and webhook_id = any($2) or many and (webhook_ids is null or webhook_ids && $2))
		order by id limit 1`, [16]byte(r.TenantID), rawOrNull(webhooks)).Scan((*[16]byte)(&other))
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return err
	}
	return replayConflict("another replay of the webhook is under way, " + other.String() + ": wait for its end, or cancel it")
}

func replayConflict(text string) error { return &hook.Error{Kind: hook.KindConflict, Message: text} }

func insertReplay(ctx context.Context, tx pgx.Tx, r *hook.Replay) error {
	webhook := [16]byte(r.WebhookID)
	if r.Many {
		webhook = [16]byte(r.ID)
	}
	tag, err := tx.Exec(ctx, `
		insert into replays (id, tenant_id, webhook_id, status, event_types, since, until, rate, state, cursor, created_at, updated_at,
			many, webhook_ids, delivery_ids, status_class, error_class, reference)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11, $12, $13, $14, $15, $16, $17)
		on conflict (webhook_id) where ended_at is null do nothing`,
		[16]byte(r.ID), [16]byte(r.TenantID), webhook, string(r.Status), r.EventTypes, r.Since, r.Until, r.Rate,
		string(r.State), [16]byte(r.Cursor), r.CreatedAt, r.Many, rawOrNull(r.WebhookIDs), rawOrNull(r.DeliveryIDs), r.StatusClass,
		string(r.Class), r.Reference)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return replayConflict("another replay of the webhook is under way: wait for its end, or cancel it")
	}
	if r.Many {
		_, err = tx.Exec(ctx, `insert into replay_walks (replay_id, webhook_id, cursor) values ($1, $2, $3)`,
			[16]byte(r.ID), [16]byte{}, [16]byte(r.Cursor))
	}
	return err
}

// Replay reads one replay. It is not found if it belongs to another tenant.
func (s *Store) Replay(ctx context.Context, tenant hook.TenantID, id hook.ReplayID) (hook.Replay, error) {
	rows, _ := s.pool.Query(ctx, `select `+replayColumns+` from replays r where r.id = $1 and r.tenant_id = $2`,
		[16]byte(id), [16]byte(tenant))
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[replayRow])
	if err != nil {
		return hook.Replay{}, notFound("replay", fmt.Errorf("select replay %s: %w", id, err))
	}
	return row.replay(), nil
}

// Replays lists the replays of tenants, newest first; only those of one webhook if one is given, also those over several
// with it. A page may be short,
// even empty, without being the last: next is where the next page begins, nil at the end.
func (s *Store) Replays(ctx context.Context, of hook.TenantFilter, webhook *hook.WebhookID, p hook.Page) (list []hook.Replay, next *[16]byte, err error) {
	l := replaysListing(of, webhook)
	list, next, err = readPage(ctx, s, &l, p, collectReplays, func(r *hook.Replay) [16]byte { return r.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list replays: %w", err)
	}
	return list, next, nil
}

func replaysListing(of hook.TenantFilter, webhook *hook.WebhookID) listing {
	l := listing{table: "replays", alias: "r", columns: replayColumns, args: pgx.StrictNamedArgs{}}
	l.ofTenants(of)
	if webhook != nil {
		l.filter = append(l.filter, `(r.webhook_id = @webhook or r.many and (r.webhook_ids is null or @webhook = any(r.webhook_ids)))`)
		l.choose(pgx.StrictNamedArgs{"webhook": [16]byte(*webhook)})
	}
	return l
}

func collectReplays(rows pgx.Rows) (list []hook.Replay, err error) {
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[replayRow])
	for i := range found {
		list = append(list, found[i].replay())
	}
	return list, err
}

// UpdateReplay applies change to a replay that has not ended, and wakes its workflow. A replay that becomes canceled
// ends its outstanding deliveries. Of a replay of one webhook these are at most those of replayWindow plus one second at
// its rate: 11,000 rows, some tenths of a second; one over several has a few seconds' worth more for each webhook that is
// behind. It then returns only when no sender begins a request of the replay any more. An error of change
// is returned as it is, and nothing is stored.
func (s *Store) UpdateReplay(ctx context.Context, tenant hook.TenantID, id hook.ReplayID, change func(*hook.Replay) error) (hook.Replay, error) {
	var r hook.Replay
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) (err error) {
		row, err := lockReplay(ctx, tx, id)
		if err != nil {
			return notFound("replay", err)
		}
		if r = row.replay(); r.TenantID != tenant {
			return hook.NotFound("replay")
		}
		before := r
		if err := change(&r); err != nil {
			return err
		}
		if err := updateReplay(ctx, tx, &r, true); err != nil {
			return err
		}
		return auditReplay(ctx, tx, hook.ReplayAction(before.State, r.State), &before, &r)
	})
	if err != nil {
		return hook.Replay{}, mapErr(fmt.Errorf("update replay %s: %w", id, err))
	}
	if r.State == hook.ReplayCanceled {
		s.awaitTrust(time.Now())
	}
	return r, nil
}

// lockedReplay is a replay with the columns that only its steps need.
type lockedReplay struct {
	replayRow
	Changes     int64
	LateWriters []string
	LateCursor  *[16]byte
}

func lockReplay(ctx context.Context, tx pgx.Tx, id hook.ReplayID) (lockedReplay, error) {
	rows, _ := tx.Query(ctx, `select `+replayColumns+`, r.changes, r.late_writers, r.late_cursor from replays r where r.id = $1 for update`, [16]byte(id))
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[lockedReplay])
}

// updateReplay stores a replay; wake makes its workflow look at once. Only the workflow itself passes false: it has
// seen every earlier wake.
func updateReplay(ctx context.Context, tx pgx.Tx, r *hook.Replay, wake bool) error {
	r.UpdatedAt = time.Now().UTC().Truncate(time.Microsecond)
	if r.State == hook.ReplayCompleted || r.State == hook.ReplayCanceled {
		r.EndedAt = &r.UpdatedAt
	}
	_, err := tx.Exec(ctx, `
		update replays set rate = $2, state = $3, reason = $4, cursor = $5, looked = $6, created = $7, updated_at = $8, ended_at = $9,
			changes = changes + $10::boolean::int, due_at = case when $10 then '-infinity' else clock_timestamp() end where id = $1`,
		[16]byte(r.ID), r.Rate, string(r.State), r.Reason, [16]byte(r.Cursor), r.Looked, r.Created, r.UpdatedAt, r.EndedAt, wake)
	if err != nil || r.State != hook.ReplayCanceled || r.Reason != "" {
		return err // outstanding deliveries of a webhook that has ended are revoked
	}
	// Senders that have loaded the deliveries must load them anew. Webhooks are locked before deliveries, as
	// everywhere, and in order.
	_, err = tx.Exec(ctx, `
		update webhooks set version = version + 1 where id = any(array(
			select id from webhooks where id = $2 or id in (select webhook_id from deliveries where replay_id = $1 and next_attempt_at is not null)
			order by id for update))`, [16]byte(r.ID), [16]byte(r.WebhookID))
	if err != nil {
		return err
	}
	_, err = cancel(ctx, tx, `replay_id = $1`, [16]byte(r.ID), hook.TextReplayCanceled)
	return err
}

// ReplaySleeps stores when the workflow of a replay will look again. It stores nothing and returns false if the
// replay has changed since the step that returned changes: the workflow has to look again.
func (s *Store) ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration, changes int64) (asleep bool, err error) {
	tag, err := s.pool.Exec(ctx, `
		update replays set due_at = clock_timestamp() + $2::interval where id = $1 and changes = $3 and due_at > '-infinity'`,
		[16]byte(id), in, changes)
	if err != nil {
		return false, mapErr(fmt.Errorf("put replay %s to sleep: %w", id, err))
	}
	return tag.RowsAffected() > 0, nil
}

// LostReplays lists replays whose workflow should have looked longer ago than age, or is to look now, and gives each
// replay age more.
func (s *Store) LostReplays(ctx context.Context, age time.Duration, limit int) ([]hook.ReplayID, error) {
	rows, _ := s.pool.Query(ctx, `
		update replays set due_at = clock_timestamp() where id = any(array(
			select id from replays where due_at < now() - $1::interval and ended_at is null order by id limit $2 for no key update skip locked))
		returning id`, age, limit)
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (id hook.ReplayID, err error) {
		return id, row.Scan((*[16]byte)(&id))
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list lost replays: %w", err))
	}
	return list, nil
}

// PurgeReplays deletes replays that ended longer ago than age.
func (s *Store) PurgeReplays(ctx context.Context, age time.Duration) error {
	if _, err := s.pool.Exec(ctx, `delete from replays where ended_at < now() - $1::interval`, age); err != nil {
		return mapErr(fmt.Errorf("purge replays: %w", err))
	}
	return nil
}
