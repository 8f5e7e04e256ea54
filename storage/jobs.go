package storage

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// jobRow is a delivery and its webhook; the latter is all null when it was deleted.
type jobRow struct {
	deliveryRow
	DueIn          float64 // seconds
	WebhookExists  bool
	Profile        *string
	URL            *string
	Events         []string
	Secret         []byte
	Headers        []byte
	Active         *bool
	DisabledReason *string
	TimeoutMs      *int
	RateLimit      *int
	MaxAttempts    *int
	Health         *string
	Cache          *string
	TrippedAt      *time.Time
	PausedAt       *time.Time
	sealedPrevious
	SignatureSchemes []string
	SigningKeys      [][]byte
	TraceContext     *bool
}

// jobColumns name only what sending needs of a webhook.
const jobColumns = deliveryColumns + `,
	coalesce(extract(epoch from d.next_attempt_at - clock_timestamp()), 0)::float8 as due_in,
	w.id is not null as webhook_exists, w.profile, w.url, w.events, w.secret, w.headers, w.active, w.disabled_reason,
	w.timeout_ms, w.rate_limit, w.max_attempts, w.health, w.cache, w.tripped_at, w.paused_at, w.trace_context,
	w.previous_secrets, w.previous_until, w.signature_schemes, ` + signingKeysColumn

// Outstanding loads the deliveries of the events that still have an attempt to
// come, due or not, parked ones left out, each with its event and its webhook as it stands now. Of
// more than one slice it loads the given one: a delivery is always in the same.
func (s *Store) Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error) {
	return s.jobs(ctx, `
		from `+ofEvents+`
		left join webhooks w on w.id = d.webhook_id
		where d.event_id = k.event_id and d.next_attempt_at is not null and not d.test and not d.parked`, sliceArgs(events, slice, of))
}

// ofEvents are the deliveries in the events' ranges of ids. The offset keeps the
// planner from looking for them by any other way than the primary key, event by
// event: by its estimates, scanning what is outstanding, or everything, looks
// cheaper, and in an outage it is not.
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
	jobs, err := s.jobs(ctx, `from deliveries d left join webhooks w on w.id = d.webhook_id where d.id = @id`,
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
	rows, _ := s.pool.Query(ctx, `select `+jobColumns+` `+from, args)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[jobRow])
	if err != nil {
		return nil, mapErr(fmt.Errorf("load deliveries: %w", err))
	}
	events, err := s.eventsByID(ctx, found)
	if err != nil {
		return nil, err
	}
	jobs := make([]hook.Job, 0, len(found))
	ring := keyring{s, map[hook.TenantID][]ed25519.PrivateKey{}}
	for i := range found {
		row := &found[i]
		job := hook.Job{
			Delivery: row.delivery(), Event: events[row.EventID],
			DueIn: time.Duration(row.DueIn * float64(time.Second)),
		}
		if row.WebhookExists {
			w, err := s.unseal(row.webhook())
			if err == nil && w.Signs(hook.SchemeV1a) {
				job.SigningKeys, err = ring.open(w.TenantID, row.SigningKeys)
			}
			job.Webhook, job.Err = &w, err
		}
		jobs = append(jobs, job)
	}
	return jobs, nil
}

// eventsByID reads each event once, however many deliveries it has.
func (s *Store) eventsByID(ctx context.Context, jobs []jobRow) (map[[16]byte]hook.Event, error) {
	ids := make([][16]byte, 0, 1)
	seen := map[[16]byte]hook.Event{}
	for i := range jobs {
		if _, ok := seen[jobs[i].EventID]; !ok {
			seen[jobs[i].EventID] = hook.Event{}
			ids = append(ids, jobs[i].EventID)
		}
	}
	if len(ids) == 0 {
		return seen, nil
	}
	rows, _ := s.pool.Query(ctx, `
		select `+sentColumns+` from unnest($1::uuid[]) as k(id) cross join lateral (select * from events e where e.id = k.id offset 0) e`, ids)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByNameLax[eventRow])
	if err != nil {
		return nil, mapErr(fmt.Errorf("load events: %w", err))
	}
	for i := range found {
		seen[found[i].ID] = found[i].event()
	}
	return seen, nil
}

func (r *jobRow) webhook() webhookRow {
	return webhookRow{
		ID: r.WebhookID, TenantID: r.TenantID, Profile: *r.Profile, URL: *r.URL, Events: r.Events,
		Secret: r.Secret, Headers: r.Headers, Active: *r.Active, DisabledReason: *r.DisabledReason,
		TimeoutMs: *r.TimeoutMs, RateLimit: *r.RateLimit, MaxAttempts: *r.MaxAttempts, Health: *r.Health, Cache: *r.Cache,
		TrippedAt: r.TrippedAt, PausedAt: r.PausedAt, TraceContext: *r.TraceContext,
		sealedPrevious: r.sealedPrevious, SignatureSchemes: r.SignatureSchemes,
	}
}
