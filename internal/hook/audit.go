package hook

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"time"
)

// AuditAction is what an actor has done, in the form target.verb (K11).
type AuditAction string

// The actions in the audit log.
const (
	AuditTenantCreated      AuditAction = "tenant.created"
	AuditTenantUpdated      AuditAction = "tenant.updated"
	AuditTenantSuspended    AuditAction = "tenant.suspended"
	AuditTenantResumed      AuditAction = "tenant.resumed"
	AuditTenantDeleted      AuditAction = "tenant.deleted"
	AuditKeyCreated         AuditAction = "api_key.created"
	AuditKeyRevoked         AuditAction = "api_key.revoked"
	AuditSessionCreated     AuditAction = "portal_session.created"
	AuditSessionRevoked     AuditAction = "portal_session.revoked"
	AuditTopicTokenCreated  AuditAction = "topic_token.created" //nolint:gosec // no credential
	AuditEventTypeCreated   AuditAction = "event_type.created"
	AuditEventTypeUpdated   AuditAction = "event_type.updated"
	AuditEventTypeDeleted   AuditAction = "event_type.deleted"
	AuditWebhookCreated     AuditAction = "webhook.created"
	AuditWebhookUpdated     AuditAction = "webhook.updated"
	AuditWebhookDeleted     AuditAction = "webhook.deleted"
	AuditWebhookTested      AuditAction = "webhook.tested"
	AuditSecretRead         AuditAction = "webhook.secret_read"
	AuditSecretRotated      AuditAction = "webhook.secret_rotated"
	AuditSigningKeyRotated  AuditAction = "signing_key.rotated"
	AuditSecretsReencrypted AuditAction = "secrets.reencrypted" //nolint:gosec // no credential
	AuditDeliveryRetried    AuditAction = "delivery.retried"
	AuditReplayCreated      AuditAction = "replay.created"
	AuditReplayUpdated      AuditAction = "replay.updated"
	AuditReplayPaused       AuditAction = "replay.paused"
	AuditReplayResumed      AuditAction = "replay.resumed"
	AuditReplayCanceled     AuditAction = "replay.canceled"
)

// AuditTargetKind is the kind of thing that an action has changed.
type AuditTargetKind string

// The kinds of targets.
const (
	TargetTenant        AuditTargetKind = "tenant"
	TargetKey           AuditTargetKind = "api_key"
	TargetTopicToken    AuditTargetKind = "topic_token"
	TargetPortalSession AuditTargetKind = "portal_session"
	TargetEventType     AuditTargetKind = "event_type"
	TargetWebhook       AuditTargetKind = "webhook"
	TargetSigningKey    AuditTargetKind = "signing_key"
	TargetSecrets       AuditTargetKind = "secrets"
	TargetDelivery      AuditTargetKind = "delivery"
	TargetReplay        AuditTargetKind = "replay"
)

// AuditTarget is the thing that an action has changed. It may be gone.
type AuditTarget struct {
	Kind AuditTargetKind
	// ID is the id in paths; the name for an event type, and empty for a thing that is not stored.
	ID string
	// Name is its name, or what a person knows it by; may be empty.
	Name string
}

// AuditChange is one changed member of a target. The store keeps it as JSON.
type AuditChange struct {
	Member string `json:"member"`
	// Before and After are the member's values; absent if there was or is none, and if they are secret.
	Before json.RawMessage `json:"before,omitempty"`
	After  json.RawMessage `json:"after,omitempty"`
	// Secret says that the values are secret: the log only has that they changed.
	Secret bool `json:"secret,omitempty"`
}

// AuditEntry is an entry of the audit log (K11).
type AuditEntry struct {
	ID       AuditID
	TenantID TenantID
	Actor    Actor
	Action   AuditAction
	Target   AuditTarget
	Changes  []AuditChange
}

// At returns the time of the entry, to the millisecond.
func (e *AuditEntry) At() time.Time { return idTime(e.ID) }

// AuditFilter narrows a list of audit entries. Zero values, but for Of, do not narrow it.
type AuditFilter struct {
	// Of names the tenants whose log it is.
	Of TenantFilter
	// Actor and Target are ids.
	Actor, Target string
	// Action is an action, or a pattern of actions such as webhook.*.
	Action string
}

// AuditMember is a member of a thing, with its value.
type AuditMember struct {
	Name   string
	Value  any
	Secret bool
}

// maxAuditValue bounds a value in the audit log, in bytes of its JSON. Of a longer one the log has the size and the
// SHA-256, so that an entry stays small.
const maxAuditValue = 16 << 10

// AuditChanges returns the members whose values differ. Before or after is nil for a thing that is created or deleted:
// its members without a value are then left out.
func AuditChanges(before, after []AuditMember) []AuditChange {
	var changes []AuditChange
	seen := map[string]bool{}
	for _, list := range [][]AuditMember{after, before} {
		for _, m := range list {
			if seen[m.Name] {
				continue
			}
			seen[m.Name] = true
			old, now := textOf(before, m.Name, after == nil), textOf(after, m.Name, before == nil)
			if subtle.ConstantTimeCompare(old, now) == 1 { // some are secrets
				continue
			}
			c := AuditChange{Member: m.Name, Before: bounded(old), After: bounded(now)}
			if m.Secret {
				c = AuditChange{Member: m.Name, Secret: true}
			}
			changes = append(changes, c)
		}
	}
	return changes
}

// textOf returns the JSON of a member's value; nil if there is none, or if it is empty and onlySet is true.
func textOf(list []AuditMember, name string, onlySet bool) json.RawMessage {
	for _, m := range list {
		if m.Name != name {
			continue
		}
		if onlySet && empty(m.Value) {
			return nil
		}
		value := m.Value
		if s, ok := value.(Secret); ok {
			value = s.Reveal() // it is compared, and not kept
		}
		text, err := json.Marshal(value)
		if err != nil || string(text) == "null" {
			return nil
		}
		return text
	}
	return nil
}

// empty reports whether a value is not worth an entry when its thing is made or deleted. False is a value.
func empty(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Slice && r.Len() == 0 || r.Kind() != reflect.Bool && r.IsZero()
}

func bounded(text json.RawMessage) json.RawMessage {
	if len(text) <= maxAuditValue {
		return text
	}
	hash := sha256.Sum256(text)
	short, err := json.Marshal(map[string]any{"bytes": len(text), "sha256": hex.EncodeToString(hash[:])})
	if err != nil {
		return nil // never: these values have JSON
	}
	return short
}
