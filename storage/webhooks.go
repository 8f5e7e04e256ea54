package storage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// webhookColumns are the columns of webhookRow, in any query that joins webhooks as w.
const webhookColumns = `w.id, w.tenant_id, w.profile, w.url, w.events, w.secret, w.headers, w.active, w.disabled_reason,
	w.description, w.timeout_ms, w.rate_limit, w.max_attempts, w.health, w.created_at, w.updated_at, w.cache, w.name,
	w.tripped_at, w.paused_at, w.suspended_at, w.trace_context, w.previous_secrets, w.previous_until, w.single_value_until, w.signature_schemes, w.version, w.generation`

type webhookRow struct {
	ID             [16]byte
	TenantID       [16]byte
	Profile        string
	URL            string
	Events         []string
	Secret         []byte
	Headers        []byte
	Active         bool
	DisabledReason string
	Description    string
	TimeoutMs      int
	RateLimit      int
	MaxAttempts    int
	Health         string
	CreatedAt      time.Time
	UpdatedAt      time.Time
	Cache          string
	Name           string
	TrippedAt      *time.Time
	PausedAt       *time.Time
	SuspendedAt    *time.Time
	sealedPrevious
	SignatureSchemes []string
	TraceContext     bool
	Version          int64
	Generation       int
}

// CreateWebhook stores a validated webhook and gives it its id and times. It is a conflict if there is a Momento
// webhook of that cache and name, and over the limit if the tenant has as many webhooks as it may have (K7).
func (s *Store) CreateWebhook(ctx context.Context, w hook.Webhook) (hook.Webhook, error) {
	prepare(&w)
	if err := s.createWebhook(ctx, &w, nothing, nothing); err != nil {
		return hook.Webhook{}, err
	}
	return w, nil
}

// prepare fills in the values that the store gives a new webhook.
func prepare(w *hook.Webhook) {
	w.ID = newID[hook.WebhookID]()
	w.CreatedAt = time.Now().UTC().Truncate(time.Microsecond)
	w.UpdatedAt = w.CreatedAt
	w.Version, w.Generation = 1, 0 // the columns' defaults
}

// nothing is what most creations do besides.
func nothing(pgx.Tx) error { return nil }

// createWebhook stores w. In the same transaction it calls before first, and after last, when w has all its values.
func (s *Store) createWebhook(ctx context.Context, w *hook.Webhook, before, after func(tx pgx.Tx) error) error {
	form, err := s.sealingForm(ctx, s.pool)
	if err != nil {
		return mapErr(fmt.Errorf("insert webhook: %w", err))
	}
	row, err := s.seal(*w, form)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := before(tx); err != nil {
			return err
		}
		most, err := s.lockWebhooks(ctx, tx, w.TenantID)
		if err != nil {
			return err
		}
		args := row.args()
		args["owner"], args["most"] = row.TenantID, most
		// The database knows whether the tenant is suspended (webhook_begins).
		err = tx.QueryRow(ctx, `
			insert into webhooks (id, tenant_id, profile, url, events, secret, headers, active, disabled_reason,
				description, timeout_ms, rate_limit, max_attempts, health, created_at, updated_at, cache, name, paused_at, trace_context,
				previous_secrets, previous_until, single_value_until, signature_schemes)
			select @id, @tenant_id, @profile, @url, @events, @secret, @headers, @active, @disabled_reason,
				@description, @timeout_ms, @rate_limit, @max_attempts, @health, @created_at, @updated_at, @cache, @name,
				@paused_at, @trace_context, @previous_secrets, @previous_until, @single_value_until, @signature_schemes
			where @most::int = 0 or (select count(*) from webhooks where tenant_id = @owner::uuid) < @most::int
			returning suspended_at`, args).Scan(&w.SuspendedAt)
		if errors.Is(err, pgx.ErrNoRows) {
			return tooManyWebhooks(ctx, tx, w.TenantID, most)
		}
		if err != nil {
			return err
		}
		if err := s.ensureSigningKey(ctx, tx, w); err != nil {
			return err
		}
		if err := subscribe(ctx, tx, w); err != nil {
			return err
		}
		if err := auditWebhook(ctx, tx, hook.AuditWebhookCreated, nil, w); err != nil {
			return err
		}
		return after(tx)
	})
	if err != nil {
		return mapErr(fmt.Errorf("insert webhook: %w", err))
	}
	w.Listed = nil
	return nil
}

// Webhook reads one webhook. It is not found if it belongs to another tenant.
func (s *Store) Webhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) (hook.Webhook, error) {
	rows, _ := s.pool.Query(ctx, `select `+webhookColumns+` from webhooks w where w.id = $1 and w.tenant_id = $2`,
		[16]byte(id), [16]byte(tenant)) // CollectExactlyOneRow reports its error
	row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[webhookRow])
	if err != nil {
		return hook.Webhook{}, notFound("webhook", fmt.Errorf("select webhook %s: %w", id, err))
	}
	return s.unseal(row)
}

// WebhookNamed returns the id of a Momento webhook (M1).
func (s *Store) WebhookNamed(ctx context.Context, tenant hook.TenantID, cache, name string) (id hook.WebhookID, err error) {
	err = s.pool.QueryRow(ctx, `
		select id from webhooks where tenant_id = $1 and cache = $2 and name = $3 and profile = 'momento'`,
		[16]byte(tenant), cache, name).Scan((*[16]byte)(&id))
	if err != nil {
		return id, notFound("webhook", fmt.Errorf("select webhook by name: %w", err))
	}
	return id, nil
}

// Webhooks lists a tenant's webhooks, newest first; more reports whether there are further ones.
func (s *Store) Webhooks(ctx context.Context, tenant hook.TenantID, f hook.WebhookFilter, p hook.Page) (list []hook.Webhook, more bool, err error) {
	args := webhookFilterArgs(f)
	args["tenant_id"], args["limit"] = [16]byte(tenant), p.Limit+1
	args["lo"], args["hi"] = bounds(p)
	rows, _ := s.pool.Query(ctx, `
		select `+webhookColumns+` from webhooks w
		where w.tenant_id = @tenant_id and w.id >= @lo and w.id < @hi and `+webhookFilter+`
		order by w.id desc limit @limit`, args)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[webhookRow])
	if err != nil {
		return nil, false, mapErr(fmt.Errorf("list webhooks: %w", err))
	}
	found, more = cut(found, p.Limit)
	return s.unsealAll(found), more, nil
}

// unsealAll returns webhooks for a list. A list shows no secrets, so an unreadable one must not hide the other webhooks.
func (s *Store) unsealAll(rows []webhookRow) (list []hook.Webhook) {
	for _, row := range rows {
		w, _ := s.unseal(row)
		list = append(list, w)
	}
	return list
}

// webhookFilter is the condition of a hook.WebhookFilter, with the arguments of webhookFilterArgs.
const webhookFilter = `(@active::boolean is null or w.active = @active)
	and (@profile = '' or w.profile = @profile) and (@cache = '' or w.cache = @cache)
	and (@patterns::text[] is null or (@event = any(w.events) and w.cache = '') or (w.profile = 'standard' and w.events && @patterns))`

func webhookFilterArgs(f hook.WebhookFilter) pgx.StrictNamedArgs {
	var patterns []string
	if f.Event != "" {
		patterns = hook.Candidates(f.Event)
	}
	return pgx.StrictNamedArgs{"active": f.Active, "profile": string(f.Profile), "cache": f.Cache, "event": f.Event, "patterns": patterns}
}

// AllWebhooks lists the webhooks of all tenants, newest first (K4). A page may be short, even empty, without being the
// last: next is where the next page begins, nil at the end.
func (s *Store) AllWebhooks(ctx context.Context, f hook.WebhookFilter, p hook.Page) (list []hook.Webhook, next *[16]byte, err error) {
	l := allWebhooksListing(f)
	found, next, err := readPage(ctx, s, &l, p, collectWebhooks, func(r *webhookRow) [16]byte { return r.ID })
	if err != nil {
		return nil, nil, fmt.Errorf("list all webhooks: %w", err)
	}
	return s.unsealAll(found), next, nil
}

func collectWebhooks(rows pgx.Rows) ([]webhookRow, error) {
	return pgx.CollectRows(rows, pgx.RowToStructByName[webhookRow])
}

func allWebhooksListing(f hook.WebhookFilter) listing {
	return listing{
		table: "webhooks", alias: "w", columns: webhookColumns, args: pgx.StrictNamedArgs{},
		filter: []string{webhookFilter}, chosen: webhookFilterArgs(f),
	}
}

// UpdateWebhook applies change to the webhook as it is and stores the result, all under a row lock, so that
// concurrent changes don't undo each other. Becoming inactive cancels outstanding deliveries (S15,
// queueCancellation). An error of change is returned as it is, and nothing is stored. change must do no I/O: it runs
// inside the transaction. If requests depend on the change, it returns only when no sender begins a request with the
// earlier state any more (hook.TrustFor).
func (s *Store) UpdateWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID, change func(*hook.Webhook) error) (hook.Webhook, error) {
	var before, w hook.Webhook
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `select `+webhookColumns+` from webhooks w where w.id = $1 and w.tenant_id = $2 for update`,
			[16]byte(id), [16]byte(tenant))
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[webhookRow])
		if err != nil {
			return notFound("webhook", err)
		}
		if w, err = s.unseal(row); err != nil {
			return err
		}
		before = w
		before.Headers, before.Previous = maps.Clone(w.Headers), slices.Clone(w.Previous)
		if err := change(&w); err != nil {
			return err
		}
		w.UpdatedAt = time.Now().UTC().Truncate(time.Microsecond)
		if err := s.replace(ctx, tx, &w, &before, &row); err != nil {
			return err
		}
		return auditWebhook(ctx, tx, "", &before, &w)
	})
	if err != nil {
		return hook.Webhook{}, mapErr(fmt.Errorf("update webhook %s: %w", id, err))
	}
	w.Listed = nil
	if w.Version != before.Version {
		s.awaitSenders(ctx, id, w.Generation != before.Generation)
	}
	return w, nil
}

// replace stores w in the row old, whose webhook was before. Its version and generation are set by the database.
func (s *Store) replace(ctx context.Context, tx pgx.Tx, w, before *hook.Webhook, old *webhookRow) error {
	form, err := s.sealingForm(ctx, tx)
	if err != nil {
		return err
	}
	row, err := s.seal(*w, form)
	if err != nil {
		return err
	}
	s.reuseSealed(&row, old, w, before, form)
	args := row.args()
	// Enabling again forgives: the five days of S14 begin anew, and the endpoint's availability is unknown, as after
	// a change of URL.
	args["anew"] = w.Active && !before.Active || w.URL != before.URL
	for _, fixed := range []string{"tenant_id", "created_at", "cache", "name"} {
		delete(args, fixed)
	}
	// A pause does not count as time of failing: nobody asked the endpoint.
	err = tx.QueryRow(ctx, `
		update webhooks set profile = @profile, url = @url, events = @events, secret = @secret, headers = @headers,
			active = @active, disabled_reason = @disabled_reason, description = @description, timeout_ms = @timeout_ms,
			rate_limit = @rate_limit, max_attempts = @max_attempts, health = @health, updated_at = @updated_at,
			trace_context = @trace_context, paused_at = @paused_at,
			resumed_at = case when paused_at is not null and @paused_at::timestamptz is null then now() else resumed_at end,
			previous_secrets = @previous_secrets, previous_until = @previous_until, single_value_until = @single_value_until,
			signature_schemes = @signature_schemes,
			failing_since = case
				when @anew then null
				when @paused_at::timestamptz is null
					then failing_since + coalesce(greatest(now() - greatest(paused_at, failing_since), interval '0'), interval '0')
				else failing_since end,
			failures = case when @anew then 0 else failures end, failed_days = case when @anew then 0 else failed_days end,
			tripped_at = case when @anew then null else tripped_at end
		where id = @id returning version, generation`, args).Scan(&w.Version, &w.Generation)
	if err != nil {
		return err
	}
	if err := wakeDrain(ctx, tx, w.ID); err != nil {
		return err
	}
	if err := s.ensureSigningKey(ctx, tx, w); err != nil {
		return err
	}
	if !slices.Equal(w.Events, before.Events) {
		if _, err := tx.Exec(ctx, `delete from subscriptions where webhook_id = $1`, [16]byte(w.ID)); err != nil {
			return err
		}
		if err := subscribe(ctx, tx, w); err != nil {
			return err
		}
	}
	if before.Active && !w.Active {
		return queueCancellation(ctx, tx, w.ID, w.Generation, hook.TextWebhookDisabled)
	}
	return nil
}

// DeleteWebhook removes the webhook and its secret; its outstanding deliveries end as canceled (S5,
// queueCancellation). When it returns, no sender begins a request to it any more.
func (s *Store) DeleteWebhook(ctx context.Context, tenant hook.TenantID, id hook.WebhookID) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `delete from webhooks w where w.id = $1 and w.tenant_id = $2 returning `+webhookColumns,
			[16]byte(id), [16]byte(tenant)) // CollectExactlyOneRow reports its error
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[webhookRow])
		if err != nil {
			return notFound("webhook", err)
		}
		w, _ := s.unseal(row) // an unreadable secret must not keep its webhook
		if err := auditWebhook(ctx, tx, hook.AuditWebhookDeleted, &w, nil); err != nil {
			return err
		}
		return queueCancellation(ctx, tx, id, row.Generation+1, hook.TextWebhookDeleted)
	})
	if err != nil {
		return mapErr(fmt.Errorf("delete webhook %s: %w", id, err))
	}
	s.awaitSenders(ctx, id, true)
	return nil
}

func (r *webhookRow) args() pgx.StrictNamedArgs {
	return pgx.StrictNamedArgs{
		"id": r.ID, "tenant_id": r.TenantID, "profile": r.Profile, "url": r.URL, "events": r.Events,
		"secret": r.Secret, "headers": r.Headers, "active": r.Active, "disabled_reason": r.DisabledReason,
		"description": r.Description, "timeout_ms": r.TimeoutMs, "rate_limit": r.RateLimit,
		"max_attempts": r.MaxAttempts, "health": r.Health, "created_at": r.CreatedAt, "updated_at": r.UpdatedAt,
		"cache": r.Cache, "name": r.Name, "paused_at": r.PausedAt, "trace_context": r.TraceContext,
		"previous_secrets": r.PreviousSecrets, "previous_until": r.PreviousUntil,
		"single_value_until": r.SingleValueUntil, "signature_schemes": r.SignatureSchemes,
	}
}

func (s *Store) seal(w hook.Webhook, form secrets.Form) (webhookRow, error) {
	row := webhookRow{
		ID: w.ID, TenantID: w.TenantID, Profile: string(w.Profile), URL: w.URL, Events: w.Events,
		Secret: s.box.Seal([]byte(w.Secret.Reveal()), webhookPlace(columnSecret, w.TenantID, w.ID), form),
		Active: w.Active, DisabledReason: w.DisabledReason,
		Description: w.Description, TimeoutMs: int(w.Timeout.Milliseconds()), RateLimit: w.RateLimit,
		MaxAttempts: w.MaxAttempts, Health: string(w.Health), CreatedAt: w.CreatedAt, UpdatedAt: w.UpdatedAt,
		Cache: w.Cache, Name: w.Name, PausedAt: w.PausedAt, TraceContext: w.TraceContext,
		sealedPrevious: s.sealPrevious(&w, form), SignatureSchemes: schemeNames(w.Schemes),
	}
	if len(w.Headers) == 0 {
		return row, nil
	}
	plain := make(map[string]string, len(w.Headers))
	for name, value := range w.Headers {
		plain[name] = value.Reveal()
	}
	text, err := json.Marshal(plain)
	if err != nil {
		return row, fmt.Errorf("encode headers of webhook %s: %w", w.ID, err)
	}
	row.Headers = s.box.Seal(text, webhookPlace(columnHeaders, w.TenantID, w.ID), form)
	return row, nil
}

func (s *Store) unseal(r webhookRow) (hook.Webhook, error) {
	w := hook.Webhook{
		ID: r.ID, TenantID: r.TenantID, Profile: hook.Profile(r.Profile), URL: r.URL, Events: r.Events,
		Active: r.Active, DisabledReason: r.DisabledReason, Description: r.Description,
		Timeout: time.Duration(r.TimeoutMs) * time.Millisecond, RateLimit: r.RateLimit, MaxAttempts: r.MaxAttempts,
		Health: hook.Health(r.Health), TrippedAt: r.TrippedAt, PausedAt: r.PausedAt, SuspendedAt: r.SuspendedAt, CreatedAt: r.CreatedAt,
		UpdatedAt: r.UpdatedAt, Cache: r.Cache, Name: r.Name,
		TraceContext: r.TraceContext, Schemes: schemes(r.SignatureSchemes), Version: r.Version, Generation: r.Generation,
	}
	secret, err := s.box.Open(r.Secret, webhookPlace(columnSecret, w.TenantID, w.ID))
	if err != nil {
		return w, fmt.Errorf("secret of webhook %s: %w", w.ID, err)
	}
	w.Secret = hook.Secret(secret)
	if w.Previous, err = s.openPrevious(&w, r.sealedPrevious); err != nil {
		return w, fmt.Errorf("previous secret of webhook %s: %w", w.ID, err)
	}
	if r.Headers == nil {
		return w, nil
	}
	text, err := s.box.Open(r.Headers, webhookPlace(columnHeaders, w.TenantID, w.ID))
	if err != nil {
		return w, fmt.Errorf("headers of webhook %s: %w", w.ID, err)
	}
	var plain map[string]string
	if err := json.Unmarshal(text, &plain); err != nil {
		return w, errors.New("headers of webhook " + w.ID.String() + ": not in a known form")
	}
	w.Headers = make(map[string]hook.Secret, len(plain))
	for name, value := range plain {
		w.Headers[name] = hook.Secret(value)
	}
	return w, nil
}
