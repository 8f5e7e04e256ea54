package storage

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Reasons why a webhook has no delivery of an event (S10, A3).
const (
	reasonNotSubscribed = "not subscribed"
	reasonInactive      = "inactive"
	reasonCreatedLater  = "created later"
)

// An accept decides by what the database has when its statement runs, and an event's time is that of its process before.
// Within decisionSlack of the event, a webhook may have been decided on as it was before or after a change.
const decisionSlack = 10 * time.Second

// mostStates bounds how many states of a webhook around an event's time are read.
const mostStates = 20

// webhookState is what decided, until a time, which events a webhook gets; the present state has no end.
type webhookState struct {
	hook.Webhook
	until *time.Time
}

// NotDeliveredTo lists the tenant's webhooks that have no delivery of the event, at most limit, each with the reason as
// it was at the publish (A3). For times before the history of webhooks begins, it is the reason that the first known state
// gives.
func (s *Store) NotDeliveredTo(ctx context.Context, e hook.Event, limit int) ([]hook.NotDelivered, error) {
	lo, hi := deliveryRange(e.ID)
	// "not in", over values that are never null, becomes a hash look-up. For "not exists", the planner, which does
	// not expect thousands of deliveries of one event, would go through all of them for each webhook.
	rows, _ := s.pool.Query(ctx, `
		select w.id, h.until, coalesce(h.profile, w.profile), coalesce(h.cache, w.cache), coalesce(h.events, w.events), coalesce(h.active, w.active)
		from (
			select * from webhooks w
			where w.tenant_id = @tenant_id and w.id not in (
				select d.webhook_id from deliveries d where d.id between @lo and @hi and d.event_id = @event_id)
			order by w.id desc limit @limit
		) w cross join lateral (
			(select h.until, h.profile, h.cache, h.events, h.active from webhook_history h
				where h.webhook_id = w.id and h.until > @from order by h.until limit @states)
			union all select null, null, null, null, null
		) h
		order by w.id desc, h.until nulls last`, pgx.StrictNamedArgs{
		"tenant_id": [16]byte(e.TenantID), "lo": lo, "hi": hi, "event_id": [16]byte(e.ID), "limit": limit,
		"from": e.CreatedAt.Add(-decisionSlack), "states": mostStates,
	})
	var list []hook.NotDelivered
	var states [][]webhookState
	var one webhookState
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&one.ID), &one.until, (*string)(&one.Profile), &one.Cache, &one.Events, &one.Active}, func() error {
		if len(list) == 0 || list[len(list)-1].WebhookID != one.ID {
			list, states = append(list, hook.NotDelivered{WebhookID: one.ID}), append(states, nil)
		}
		last := len(states) - 1
		states[last] = append(states[last], one)
		one = webhookState{}
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("list webhooks without event %s: %w", e.ID, err))
	}
	for i := range list {
		list[i].Reason = reasonAt(states[i], &e)
	}
	return list, nil
}

// reasonAt returns the reason why a webhook has no delivery of an event. states are in the order of time; the last one is the
// present. The state at the event's time decides. If the webhook would have got the event by it, a change was under way: then
// the nearest state by which the webhook would not have got it, within decisionSlack.
func reasonAt(states []webhookState, e *hook.Event) string {
	if bytes.Compare(states[0].ID[:], e.ID[:]) > 0 { // ids are finer than creation times
		return reasonCreatedLater
	}
	best, distance := reasonNotSubscribed, decisionSlack
	for i := range states {
		w := &states[i]
		reason := ""
		switch {
		case !w.Wants(e.Cache, e.Type):
			reason = reasonNotSubscribed
		case !w.Active:
			reason = reasonInactive
		default:
			continue
		}
		// How far the event's time is from the time in which the state held.
		away := time.Duration(0)
		if w.until != nil && !w.until.After(e.CreatedAt) {
			away = e.CreatedAt.Sub(*w.until) + 1
		}
		if i > 0 && states[i-1].until.After(e.CreatedAt) {
			away = states[i-1].until.Sub(e.CreatedAt)
		}
		if away < distance {
			best, distance = reason, away
		}
	}
	return best
}
