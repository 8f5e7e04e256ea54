package storage

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
	"grapnel/internal/signing"
)

// auditWebhook logs a change of a webhook; before or now is nil if it is new or deleted. The empty action is that of an
// update, which leaves no entry if nothing differs.
func auditWebhook(ctx context.Context, q execer, action hook.AuditAction, before, now *hook.Webhook) error {
	of := now
	var old, members []hook.AuditMember
	if before != nil {
		of, old = before, before.AuditMembers()
	}
	if now != nil {
		of, members = now, now.AuditMembers()
	}
	changes := hook.AuditChanges(old, members)
	if action == "" {
		if len(changes) == 0 {
			return nil
		}
		action = hook.WebhookAction(changes)
	}
	return audit(ctx, q, hook.AuditEntry{TenantID: of.TenantID, Action: action, Target: of.AuditTarget(), Changes: changes})
}

// auditTest logs a test. The entry has the delivery's id, by which DropTest finds it.
func auditTest(ctx context.Context, q execer, w *hook.Webhook, d *hook.Delivery) error {
	return audit(ctx, q, hook.AuditEntry{
		ID: hook.AuditID(d.ID), TenantID: w.TenantID, Action: hook.AuditWebhookTested, Target: w.AuditTarget(),
		Changes: hook.AuditChanges(nil, []hook.AuditMember{
			{Name: "delivery_id", Value: d.ID.String()}, {Name: "event_type", Value: d.EventType},
		}),
	})
}

// auditReplay logs a change of a replay, if anything differs; before is nil if it is new.
func auditReplay(ctx context.Context, q execer, action hook.AuditAction, before, now *hook.Replay) error {
	var old []hook.AuditMember
	if before != nil {
		old = before.AuditMembers()
	}
	changes := hook.AuditChanges(old, now.AuditMembers())
	if len(changes) == 0 {
		return nil
	}
	target := hook.AuditTarget{Kind: hook.TargetReplay, ID: now.ID.String()}
	if !now.Many {
		target.Name = now.WebhookID.String()
	}
	return audit(ctx, q, hook.AuditEntry{TenantID: now.TenantID, Action: action, Changes: changes, Target: target})
}

// auditSigningKey logs the rotation to a new key.
func auditSigningKey(ctx context.Context, q execer, k *hook.SigningKey, overlap time.Duration) error {
	id := signing.KeyID(k.Public)
	return audit(ctx, q, hook.AuditEntry{
		TenantID: k.TenantID, Action: hook.AuditSigningKeyRotated, Target: hook.AuditTarget{Kind: hook.TargetSigningKey, ID: id},
		Changes: hook.AuditChanges(nil, []hook.AuditMember{
			{Name: "public_key", Value: signing.PublicText(k.Public)}, {Name: "overlap_seconds", Value: int(overlap / time.Second)},
		}),
	})
}

// auditEventType logs that an event type was put or deleted, if anything differs; before or now is nil if it is new or
// deleted. more are further members of the entry.
func auditEventType(ctx context.Context, q execer, tenant hook.TenantID, before, now *hook.EventType, more []hook.AuditMember) error {
	action, of := hook.AuditEventTypeUpdated, now
	var old, members []hook.AuditMember
	if before != nil {
		old = before.AuditMembers()
	} else {
		action = hook.AuditEventTypeCreated
	}
	if now != nil {
		members = append(now.AuditMembers(), more...)
	} else {
		action, of = hook.AuditEventTypeDeleted, before
	}
	changes := hook.AuditChanges(old, members)
	if action == hook.AuditEventTypeUpdated && len(changes) == 0 {
		return nil
	}
	return audit(ctx, q, hook.AuditEntry{
		TenantID: tenant, Action: action, Target: hook.AuditTarget{Kind: hook.TargetEventType, ID: of.Name, Name: of.Name}, Changes: changes,
	})
}

// WebhookForSecret reads a webhook whose secret a client is about to see, and logs that. An error of allow is returned as
// it is, and nothing is logged.
func (s *Store) WebhookForSecret(ctx context.Context, tenant hook.TenantID, id hook.WebhookID, allow func(*hook.Webhook) error) (w hook.Webhook, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `select `+webhookColumns+` from webhooks w where w.id = $1 and w.tenant_id = $2`,
			[16]byte(id), [16]byte(tenant)) // CollectExactlyOneRow reports its error
		row, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[webhookRow])
		if err != nil {
			return notFound("webhook", err)
		}
		if w, err = s.unseal(row); err != nil {
			return err
		}
		if err := allow(&w); err != nil {
			return err
		}
		return audit(ctx, tx, hook.AuditEntry{TenantID: tenant, Action: hook.AuditSecretRead, Target: w.AuditTarget()})
	})
	if err != nil {
		return hook.Webhook{}, mapErr(fmt.Errorf("read secret of webhook %s: %w", id, err))
	}
	return w, nil
}

// auditTenant logs that a tenant was created or changed; before is nil if it is new. Tenants are the platform's, and so
// is the log of what happens to them: it is the default tenant's.
func auditTenant(ctx context.Context, q execer, before, now *hook.Tenant) error {
	action, old := hook.AuditTenantCreated, []hook.AuditMember(nil)
	if before != nil {
		action, old = hook.TenantAction(before.Status, now.Status), before.AuditMembers()
	}
	changes := hook.AuditChanges(old, now.AuditMembers())
	if before != nil && len(changes) == 0 {
		return nil
	}
	return audit(ctx, q, hook.AuditEntry{
		TenantID: hook.DefaultTenant(), Action: action, Changes: changes,
		Target: hook.AuditTarget{Kind: hook.TargetTenant, ID: now.ID.String(), Name: now.Name},
	})
}
