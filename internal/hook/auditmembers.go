package hook

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"
)

// The members that the audit log compares (K11). Their names are those of the standard surface, whichever surface made
// the change. Values that the service itself keeps, such as a webhook's health, are not among them.

// AuditMembers returns the webhook's members for the audit log.
func (w *Webhook) AuditMembers() []AuditMember {
	schemes := make([]string, 0, len(w.Schemes))
	for _, s := range w.Schemes {
		schemes = append(schemes, string(s))
	}
	list := []AuditMember{
		{Name: "profile", Value: string(w.Profile)},
		{Name: "cache_name", Value: w.Cache},
		{Name: "webhook_name", Value: w.Name},
		{Name: "url", Value: w.URL},
		{Name: "events", Value: notNil(w.Events)},
		{Name: "active", Value: w.Active},
		{Name: "paused", Value: w.PausedAt != nil},
		{Name: "description", Value: w.Description},
		{Name: "timeout_seconds", Value: int(w.Timeout / time.Second)},
		{Name: "rate_limit", Value: w.RateLimit},
		{Name: "max_attempts", Value: w.MaxAttempts},
		{Name: "trace_context", Value: w.TraceContext},
		{Name: "signature_schemes", Value: schemes},
	}
	list = append(list, w.rotatedMembers()...)
	for _, name := range slices.Sorted(maps.Keys(w.Headers)) {
		list = append(list, AuditMember{Name: "headers." + name, Value: w.Headers[name], Secret: true})
	}
	return list
}

// rotatedMembers returns the members that a rotation of the secret changes.
func (w *Webhook) rotatedMembers() []AuditMember {
	return []AuditMember{
		{Name: "secret", Value: w.Secret, Secret: true},
		{Name: "previous_secrets", Value: previousValue(w.Previous), Secret: true},
	}
}

// previousValue returns something that differs when the list does. It is compared, and not kept.
func previousValue(list []PreviousSecret) (values []string) {
	for _, p := range list {
		values = append(values, p.Secret.Reveal(), p.Until.UTC().Format(time.RFC3339Nano), strconv.FormatBool(p.Single))
	}
	return values
}

// WebhookAction returns the action that changed these members of a webhook.
func WebhookAction(changes []AuditChange) AuditAction {
	for _, c := range changes {
		if !slices.ContainsFunc((&Webhook{}).rotatedMembers(), func(m AuditMember) bool { return m.Name == c.Member }) {
			return AuditWebhookUpdated
		}
	}
	return AuditSecretRotated
}

// AuditTarget returns the webhook as the target of an action. Its name is what a person knows it by: its description,
// or its cache and name (M1).
func (w *Webhook) AuditTarget() AuditTarget {
	name := w.Description
	if w.Cache != "" {
		name = w.Cache + "/" + w.Name
	}
	return AuditTarget{Kind: TargetWebhook, ID: w.ID.String(), Name: name}
}

// AuditMembers returns the key's members for the audit log.
func (k *APIKey) AuditMembers() []AuditMember {
	scopes := make([]string, 0, len(k.Scopes))
	for _, s := range k.Scopes {
		scopes = append(scopes, string(s))
	}
	return []AuditMember{
		{Name: "name", Value: k.Name},
		{Name: "scopes", Value: scopes},
		{Name: "token_id", Value: k.TokenID},
		{Name: "topics", Value: notNil(k.Topics)},
		{Name: "caches", Value: notNil(k.Caches)},
		{Name: "expires_at", Value: k.ExpiresAt},
		{Name: "revoked_at", Value: k.RevokedAt},
	}
}

// AuditTarget returns the key as the target of an action.
func (k *APIKey) AuditTarget() AuditTarget {
	return AuditTarget{Kind: TargetKey, ID: k.ID.String(), Name: k.Name}
}

// AuditMembers returns the event type's members for the audit log.
func (t *EventType) AuditMembers() []AuditMember {
	list := []AuditMember{{Name: "description", Value: t.Description}, {Name: "group", Value: t.Group}}
	if t.Deprecated {
		list = append(list, AuditMember{Name: "deprecated", Value: true})
	}
	if t.Shared {
		list = append(list, AuditMember{Name: "shared", Value: true})
	}
	if t.Schema != nil {
		list = append(list, AuditMember{Name: "schema", Value: json.RawMessage(t.Schema)})
	}
	if t.Example != nil {
		list = append(list, AuditMember{Name: "example", Value: json.RawMessage(t.Example)})
	}
	return list
}

// AuditMembers returns the replay's members for the audit log.
func (r *Replay) AuditMembers() []AuditMember {
	webhooks := []AuditMember{{Name: "webhook_id", Value: r.WebhookID.String()}}
	if r.Many {
		webhooks = []AuditMember{
			{Name: "webhook_ids", Value: idTexts(r.WebhookIDs)},
			{Name: "all_webhooks", Value: r.WebhookIDs == nil},
			{Name: "delivery_ids", Value: idTexts(r.DeliveryIDs)},
			{Name: "status_class", Value: r.StatusClass},
			{Name: "error_class", Value: string(r.Class)},
			{Name: "reference", Value: r.Reference},
		}
	}
	return append(webhooks, []AuditMember{
		{Name: "status", Value: string(r.Status)},
		{Name: "event_types", Value: notNil(r.EventTypes)},
		{Name: "since", Value: r.Since.UTC()},
		{Name: "until", Value: r.Until.UTC()},
		{Name: "rate", Value: r.Rate},
		{Name: "state", Value: string(r.State)},
	}...)
}

func idTexts[T interface{ String() string }](ids []T) []string {
	list := make([]string, 0, len(ids))
	for _, id := range ids {
		list = append(list, id.String())
	}
	return list
}

// ReplayAction returns the action that turned a replay's state before into now.
func ReplayAction(before, now ReplayState) AuditAction {
	switch {
	case before == now:
	case now == ReplayPaused:
		return AuditReplayPaused
	case now == ReplayRunning:
		return AuditReplayResumed
	case now == ReplayCanceled:
		return AuditReplayCanceled
	}
	return AuditReplayUpdated
}

// notNil makes an absent list equal to an empty one.
func notNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// AuditMembers returns the tenant's members for the audit log.
func (t *Tenant) AuditMembers() []AuditMember {
	list := []AuditMember{{Name: "name", Value: t.Name}, {Name: "status", Value: string(t.Status)}}
	if t.ExternalID != "" {
		list = append(list, AuditMember{Name: "external_id", Value: t.ExternalID})
	}
	for _, name := range slices.Sorted(maps.Keys(t.Metadata)) {
		list = append(list, AuditMember{Name: "metadata." + name, Value: t.Metadata[name]})
	}
	for _, limit := range []struct {
		name  string
		value *int
	}{{"limits.max_webhooks", t.Limits.MaxWebhooks}, {"limits.publish_rate", t.Limits.PublishRate}} {
		if limit.value != nil {
			list = append(list, AuditMember{Name: limit.name, Value: *limit.value})
		}
	}
	return list
}

// TenantAction returns the action that turned a tenant's status before into now.
func TenantAction(before, now TenantStatus) AuditAction {
	switch {
	case before == now:
	case now == TenantSuspended:
		return AuditTenantSuspended
	case now == TenantActive:
		return AuditTenantResumed
	case now == TenantDeleting:
		return AuditTenantDeleted
	}
	return AuditTenantUpdated
}
