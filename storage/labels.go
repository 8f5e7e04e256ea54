package storage

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// DrainLabel describes the webhook and tenant of a drain. It is not found if the webhook is deleted.
func (s *Store) DrainLabel(ctx context.Context, webhook hook.WebhookID) (hook.Label, error) {
	return s.label(ctx, `from webhooks w join tenants t on t.id = w.tenant_id where w.id = $1`, webhook)
}

// ReplayLabel describes the webhook and tenant of a replay; of a replay over several webhooks how many they are. It is not
// found if the replay or its one webhook is deleted.
func (s *Store) ReplayLabel(ctx context.Context, replay hook.ReplayID) (hook.Label, error) {
	var l hook.Label
	var webhooks *int
	err := s.pool.QueryRow(ctx, `
		select r.tenant_id, t.name, cardinality(r.webhook_ids) from replays r join tenants t on t.id = r.tenant_id where r.id = $1 and r.many`, [16]byte(replay)).
		Scan((*[16]byte)(&l.TenantID), &l.Tenant, &webhooks)
	switch {
	case err == nil && webhooks == nil:
		l.Webhook = "all webhooks"
		return l, nil
	case err == nil:
		l.Webhook = fmt.Sprintf("webhooks: %d", *webhooks)
		return l, nil
	case !errors.Is(err, pgx.ErrNoRows):
		return l, mapErr(fmt.Errorf("select label of replay %s: %w", replay, err))
	}
	return s.label(ctx, `from replays r join webhooks w on w.id = r.webhook_id join tenants t on t.id = w.tenant_id where r.id = $1`, replay)
}

func (s *Store) label(ctx context.Context, from string, id [16]byte) (hook.Label, error) {
	var l hook.Label
	var w hook.Webhook
	err := s.pool.QueryRow(ctx, `select w.id, w.tenant_id, t.name, w.url, w.cache, w.name `+from, id).
		Scan((*[16]byte)(&l.WebhookID), (*[16]byte)(&l.TenantID), &l.Tenant, &w.URL, &w.Cache, &w.Name)
	if err != nil {
		return hook.Label{}, notFound("webhook", fmt.Errorf("select label: %w", err))
	}
	if l.Webhook = w.Host(); w.Cache != "" {
		l.Webhook = w.Cache + "/" + w.Name + " " + l.Webhook
	}
	return l, nil
}
