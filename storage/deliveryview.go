package storage

import (
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// A webhook that is disabled or deleted revokes its outstanding deliveries at once; their rows follow in pages. Until
// then, clients see each delivery as its row will be.

// shownColumns are the columns of shownRow, for deliveries d joined with shown.
const shownColumns = deliveryColumns + `, x.reason as ended_reason, x.ended_at, w.paused_at, w.suspended_at, w.tripped_at, w.rate_limit,
	case when w.tripped_at is not null then (select q.probe_at from drains q where q.webhook_id = d.webhook_id) end as probe_at, clock_timestamp() as read_at`

// shown joins deliveries d with their webhook w, which shows whether they wait for it, and with the end of a revoked
// delivery: x exists for revoked deliveries only, with the reason and the time that the cancellation will store.
const shown = `left join lateral (select w.active, w.generation, w.paused_at, w.suspended_at, w.tripped_at, w.rate_limit from webhooks w where w.id = d.webhook_id offset 0) w on true
	left join lateral (
		select coalesce(c.reason, case when w.active is null then '` + hook.TextWebhookDeleted + `' else '` + hook.TextWebhookDisabled + `' end) as reason,
			greatest(d.updated_at, c.created_at) as ended_at
		from (select) one left join lateral (
			select c.reason, c.created_at from cancellations c
			where c.webhook_id = d.webhook_id and (d.generation < c.generation or d.generation is null and d.created_at <= c.created_at)
			order by c.generation limit 1) c on true
		where ` + revoked + `) x on true`

// revoked is the SQL condition that d must not be sent any more, as in hook.Webhook.Revokes: its webhook w is
// deleted, disabled, or was disabled since d was accepted. Null means no.
const revoked = `d.next_attempt_at is not null and not d.test and (w.active is null or not w.active or d.generation < w.generation)`

// shownRow is a delivery as a client sees it.
type shownRow struct {
	deliveryRow
	EndedReason *string
	EndedAt     *time.Time
	PausedAt    *time.Time
	SuspendedAt *time.Time
	TrippedAt   *time.Time
	// RateLimit is nil if the webhook is deleted.
	RateLimit *int
	ProbeAt   *time.Time
	ReadAt    time.Time
}

func (r *shownRow) targets() []any {
	return append(r.deliveryRow.targets(), &r.EndedReason, &r.EndedAt, &r.PausedAt, &r.SuspendedAt, &r.TrippedAt, &r.RateLimit, &r.ProbeAt, &r.ReadAt)
}

func (r *shownRow) delivery() hook.Delivery {
	d := r.deliveryRow.delivery()
	if r.EndedReason != nil {
		d.State, d.Error, d.NextAttemptAt, d.UpdatedAt = hook.StateCanceled, *r.EndedReason, nil, *r.EndedAt
	}
	if r.RateLimit != nil {
		w := hook.Webhook{PausedAt: r.PausedAt, SuspendedAt: r.SuspendedAt, TrippedAt: r.TrippedAt, RateLimit: *r.RateLimit}
		d.Waits = hook.WaitOf(&d, &w, r.ProbeAt, r.ReadAt)
	}
	return d
}

func collectShown(rows pgx.Rows) ([]hook.Delivery, error) {
	list := []hook.Delivery{}
	var row shownRow
	_, err := pgx.ForEachRow(rows, row.targets(), func() error {
		list = append(list, row.delivery())
		return nil
	})
	return list, err
}
