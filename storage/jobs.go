package storage

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// jobRow is a delivery that may be sent.
type jobRow struct {
	deliveryRow
	DueIn float64 // seconds
}

// jobColumns use one moment for all rows, so that the longest due is sent first. If the clock were read for each row,
// deliveries that are due at the same time would come in reverse order.
const jobColumns = deliveryColumns + `, coalesce(extract(epoch from d.next_attempt_at - (select clock_timestamp())), 0)::float8 as due_in`

// Outstanding loads the events' deliveries that still have an attempt to come, due or not, without deferred ones,
// each with its event and its webhook as it is now. If there are several slices, it loads the given one; a delivery
// is always in the same slice.
func (s *Store) Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error) {
	return s.jobs(ctx, `
		from `+ofEvents+`
		where d.event_id = k.event_id and d.next_attempt_at is not null and not d.test and not d.parked`, sliceArgs(events, slice, of))
}

// ofEvents selects the deliveries in the events' ranges of ids. The offset makes the planner look them up by primary
// key, event by event: by its estimates, scanning everything outstanding, or the whole table, looks cheaper, and in
// an outage it is not.
const ofEvents = `unnest(@events::uuid[], @los::uuid[], @his::uuid[]) as k(event_id, lo, hi)
		cross join lateral (select * from deliveries d where d.id between k.lo and k.hi offset 0) d`

func sliceArgs(events []hook.EventID, slice, of int) pgx.StrictNamedArgs {
	los, his := make([][16]byte, len(events)), make([][16]byte, len(events))
	for i, e := range events {
		los[i], his[i] = deliverySlice(e, slice, of)
	}
	return pgx.StrictNamedArgs{"events": raw(events), "los": los, "his": his}
}

// Job loads one delivery, whatever its state.
func (s *Store) Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error) {
	jobs, err := s.jobs(ctx, `from deliveries d where d.id = @id`,
		pgx.StrictNamedArgs{"id": [16]byte(id)})
	if err != nil {
		return hook.Job{}, err
	}
	if len(jobs) == 0 {
		return hook.Job{}, hook.NotFound("delivery")
	}
	return jobs[0], nil
}

func (s *Store) jobs(ctx context.Context, from string, args pgx.StrictNamedArgs) ([]hook.Job, error) {
	at := time.Now()
	rows, _ := s.pool.Query(ctx, `select `+jobColumns+` `+from, args)
	var row jobRow
	var found []jobRow
	_, err := pgx.ForEachRow(rows, append(row.targets(), &row.DueIn), func() error {
		found = append(found, row)
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("load deliveries: %w", err))
	}
	if len(found) == 0 {
		return nil, nil
	}
	events, webhooks, err := s.partsOf(ctx, found)
	if err != nil {
		return nil, mapErr(fmt.Errorf("load events and webhooks: %w", err))
	}
	jobs := make([]hook.Job, 0, len(found))
	for i := range found {
		row := &found[i]
		w := webhooks[row.WebhookID]
		jobs = append(jobs, hook.Job{
			Delivery: row.delivery(), Event: events[row.EventID].event, PayloadSize: events[row.EventID].left,
			DueIn:   time.Duration(row.DueIn * float64(time.Second)),
			Webhook: w.webhook, SigningKeys: w.keys, Err: w.err, ReadAt: at,
		})
	}
	return jobs, nil
}

// openedWebhook is a webhook as it is now, with what is needed to send to it. It is the zero value if the webhook was
// deleted.
type openedWebhook struct {
	webhook *hook.Webhook
	keys    []ed25519.PrivateKey
	err     error
}

// sentEvent is an event as loaded for sending. left is the size of its data if that is large and was left out, else
// 0.
type sentEvent struct {
	event hook.Event
	left  int
}

// inlineColumns are sentColumns without large data. Of large data only the size is read, which does not fetch it.
const inlineColumns = `e.id, e.tenant_id, e.type, case when octet_length(e.data) <= $2 then e.data end as data,
	octet_length(e.data) as size, e.organization_id, e.test, e.deliveries, e.created_at,
	e.cache, coalesce(e.sequence, 0) as sequence, e.token_id, e.drained_by, e.trace, e.hops`

type sentRow struct {
	eventRow
	Size int
}

func (r *sentRow) sent() sentEvent {
	s := sentEvent{event: r.event()}
	if r.Data == nil {
		s.left = r.Size
	}
	return s
}

// Payloads loads the data of events. Events that are gone are left out.
func (s *Store) Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error) {
	rows, _ := s.pool.Query(ctx, `
		select e.id, e.data from unnest($1::uuid[]) as k(id) cross join lateral (select * from events e where e.id = k.id offset 0) e`, raw(events))
	payloads := make(map[hook.EventID][]byte, len(events))
	var id hook.EventID
	var data []byte
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &data}, func() error {
		payloads[id], data = data, nil
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("load %d payloads: %w", len(events), err))
	}
	return payloads, nil
}

// partsOf reads the events and webhooks of deliveries, each once, however many deliveries it has.
func (s *Store) partsOf(ctx context.Context, jobs []jobRow) (map[[16]byte]sentEvent, map[[16]byte]openedWebhook, error) {
	events, webhooks := make(map[[16]byte]sentEvent, 1), make(map[[16]byte]openedWebhook, 1)
	var eventIDs, webhookIDs [][16]byte
	for i := range jobs {
		if _, ok := events[jobs[i].EventID]; !ok {
			events[jobs[i].EventID] = sentEvent{}
			eventIDs = append(eventIDs, jobs[i].EventID)
		}
		if _, ok := webhooks[jobs[i].WebhookID]; !ok {
			webhooks[jobs[i].WebhookID] = openedWebhook{}
			webhookIDs = append(webhookIDs, jobs[i].WebhookID)
		}
	}
	ring := keyring{s, map[hook.TenantID][]ed25519.PrivateKey{}}
	batch := &pgx.Batch{}
	batch.Queue(`select `+inlineColumns+` from unnest($1::uuid[]) as k(id) cross join lateral (select * from events e where e.id = k.id offset 0) e`,
		eventIDs, hook.MaxInline).
		Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[sentRow])
			for i := range found {
				events[found[i].ID] = found[i].sent()
			}
			return err
		})
	batch.Queue(`select `+sendingColumns+` from unnest($1::uuid[]) as k(id) cross join lateral (select * from webhooks w where w.id = k.id offset 0) w`, webhookIDs).
		Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[sendingRow])
			for i := range found {
				webhooks[found[i].ID] = s.open(&found[i], ring)
			}
			return err
		})
	return events, webhooks, s.pool.SendBatch(ctx, batch).Close()
}

// sendingColumns are the columns of a webhook that sending needs.
const sendingColumns = `w.id, w.tenant_id, w.profile, w.url, w.events, w.secret, w.headers, w.active, w.disabled_reason,
	w.timeout_ms, w.rate_limit, w.max_attempts, w.health, w.cache, w.tripped_at, w.paused_at, w.suspended_at, w.trace_context,
	w.previous_secrets, w.previous_until, w.single_value_until, w.signature_schemes, w.version, w.generation, ` + signingKeysColumn

type sendingRow struct {
	webhookRow
	SigningKeys [][]byte
}

func (s *Store) open(r *sendingRow, ring keyring) openedWebhook {
	w, err := s.unseal(r.webhookRow)
	o := openedWebhook{webhook: &w, err: err}
	if err == nil && w.Signs(hook.SchemeV1a) {
		o.keys, o.err = ring.open(w.TenantID, r.SigningKeys)
	}
	return o
}
