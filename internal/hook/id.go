package hook

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// Identifiers are UUIDv7s (RFC 9562), written as TypeIDs: a prefix, an
// underscore and 26 characters of lower-case Crockford base32. They are distinct
// types, so that two of them cannot be swapped by mistake. The store makes them.
type (
	// TenantID identifies an account. Its prefix is ten.
	TenantID [16]byte
	// WebhookID identifies a subscription. Its prefix is hook.
	WebhookID [16]byte
	// EventID identifies a published event. Its prefix is evt.
	EventID [16]byte
	// DeliveryID identifies the delivery of one event to one webhook. Its prefix is del. It contains the event's time,
	// so that an event and its deliveries are in one partition.
	DeliveryID [16]byte
	// KeyID identifies an API key. Its prefix is key.
	KeyID [16]byte
	// ReplayID identifies a replay. Its prefix is rpl.
	ReplayID [16]byte
	// AuditID identifies an entry of the audit log. Its prefix is aud.
	AuditID [16]byte
	// PortalSessionID identifies a portal session. Its prefix is ps.
	PortalSessionID [16]byte
)

const (
	prefixTenant   = "ten"
	prefixWebhook  = "hook"
	prefixEvent    = "evt"
	prefixDelivery = "del"
	prefixKey      = "key"
	prefixReplay   = "rpl"
	prefixAudit    = "aud"
	prefixSession  = "ps"
)

// DefaultTenant returns the id of the tenant "default", which exists from the start (spec 0).
// It is a fixed UUIDv7 of the time 0, so that it sorts before all others.
func DefaultTenant() TenantID {
	return TenantID{6: 0x70, 8: 0x80, 15: 1}
}

func (id TenantID) String() string   { return formatID(prefixTenant, id) }
func (id WebhookID) String() string  { return formatID(prefixWebhook, id) }
func (id EventID) String() string    { return formatID(prefixEvent, id) }
func (id DeliveryID) String() string { return formatID(prefixDelivery, id) }
func (id KeyID) String() string      { return formatID(prefixKey, id) }
func (id ReplayID) String() string   { return formatID(prefixReplay, id) }
func (id AuditID) String() string    { return formatID(prefixAudit, id) }

func (id PortalSessionID) String() string { return formatID(prefixSession, id) }

// UUID returns the identifier as the Commenda surface shows it (spec 0).
func (id WebhookID) UUID() string { return formatUUID(id) }

// UUID returns the identifier as the Commenda surface shows it (spec 0).
func (id EventID) UUID() string { return formatUUID(id) }

// UUID returns the identifier as the Commenda surface shows it (spec 0).
func (id DeliveryID) UUID() string { return formatUUID(id) }

// MarshalText makes an identifier a string in JSON.
func (id TenantID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText makes an identifier a string in JSON.
func (id WebhookID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText makes an identifier a string in JSON, also in Temporal's payloads.
func (id EventID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText makes an identifier a string in JSON, also in Temporal's payloads.
func (id DeliveryID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText makes an identifier a string in JSON.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// MarshalText makes an identifier a string in JSON, also in Temporal's payloads.
func (id ReplayID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses the output of MarshalText.
func (id *ReplayID) UnmarshalText(text []byte) (err error) {
	*id, err = parseID[ReplayID](prefixReplay, string(text))
	return err
}

// UnmarshalText parses the output of MarshalText.
func (id *TenantID) UnmarshalText(text []byte) (err error) {
	*id, err = parseID[TenantID](prefixTenant, string(text))
	return err
}

// UnmarshalText parses the output of MarshalText.
func (id *WebhookID) UnmarshalText(text []byte) (err error) {
	*id, err = parseID[WebhookID](prefixWebhook, string(text))
	return err
}

// UnmarshalText parses the output of MarshalText.
func (id *EventID) UnmarshalText(text []byte) (err error) {
	*id, err = parseID[EventID](prefixEvent, string(text))
	return err
}

// UnmarshalText parses the output of MarshalText.
func (id *DeliveryID) UnmarshalText(text []byte) (err error) {
	*id, err = parseID[DeliveryID](prefixDelivery, string(text))
	return err
}

// ParseTenantID reads ten_…. The error says what is wrong with it.
func ParseTenantID(s string) (TenantID, error) { return parseID[TenantID](prefixTenant, s) }

// ParseWebhookID reads hook_… or the id's UUID. The error says what is wrong with it.
func ParseWebhookID(s string) (WebhookID, error) { return parseID[WebhookID](prefixWebhook, s) }

// ParseEventID reads evt_… or the id's UUID. The error says what is wrong with it.
func ParseEventID(s string) (EventID, error) { return parseID[EventID](prefixEvent, s) }

// ParseDeliveryID reads del_… or the id's UUID. The error says what is wrong with it.
func ParseDeliveryID(s string) (DeliveryID, error) { return parseID[DeliveryID](prefixDelivery, s) }

// ParseKeyID reads key_…. The error says what is wrong with it.
func ParseKeyID(s string) (KeyID, error) { return parseID[KeyID](prefixKey, s) }

// ParseReplayID reads rpl_…. The error says what is wrong with it.
func ParseReplayID(s string) (ReplayID, error) { return parseID[ReplayID](prefixReplay, s) }

// ParsePortalSessionID reads ps_…. The error says what is wrong with it.
func ParsePortalSessionID(s string) (PortalSessionID, error) {
	return parseID[PortalSessionID](prefixSession, s)
}

// Time returns when the identifier was made, to the millisecond.
func (id EventID) Time() time.Time { return idTime(id) }

// IDTime returns the smallest identifier of a moment. It is the bound for a search by time over identifiers.
func IDTime(t time.Time) [16]byte {
	var id [16]byte
	// The time takes 48 of 64 bits.
	binary.BigEndian.PutUint64(id[:8], uint64(max(t.UnixMilli(), 0))<<16)
	return id
}

func idTime(id [16]byte) time.Time {
	var ms int64
	for _, b := range id[:6] {
		ms = ms<<8 | int64(b)
	}
	return time.UnixMilli(ms).UTC()
}

// crockford is the TypeID alphabet: base32 without i, l, o and u.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// encodedLen is the length of 128 bits in base32; the first character holds
// only three of them.
const encodedLen = 26

func formatID(prefix string, id [16]byte) string {
	out := make([]byte, len(prefix)+1+encodedLen)
	copy(out, prefix)
	out[len(prefix)] = '_'
	// 130 bits are written, beginning with two zero bits. acc has the bits that are not written yet.
	var acc uint32
	bits, at := 2, len(prefix)+1
	for _, b := range id {
		acc = acc<<8 | uint32(b)
		bits += 8
		for bits >= 5 {
			bits -= 5
			out[at] = crockford[acc>>bits&31]
			at++
		}
	}
	return string(out)
}

func parseID[T ~[16]byte](prefix, s string) (T, error) {
	var id T
	if len(s) == uuidLen {
		return parseUUID[T](prefix, s)
	}
	rest, ok := strings.CutPrefix(s, prefix+"_")
	if !ok || len(rest) != encodedLen || rest[0] > '7' {
		return id, badID(prefix)
	}
	var acc uint32
	bits, at := -2, 0
	for i := range len(rest) {
		v := strings.IndexByte(crockford, rest[i])
		if v < 0 {
			return T{}, badID(prefix)
		}
		acc = acc<<5 | uint32(v) //nolint:gosec // v is an index below 32
		bits += 5
		if bits >= 8 {
			bits -= 8
			id[at] = byte(acc >> bits) //nolint:gosec // the low eight bits are what is wanted
			at++
		}
	}
	return id, nil
}

// uuidLen is the length of a UUID's text. No TypeID here has that length.
const uuidLen = 36

// parseUUID parses the output of formatUUID, in upper or lower case.
func parseUUID[T ~[16]byte](prefix, s string) (T, error) {
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	b, err := hex.DecodeString(digits)
	if err != nil || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return T{}, badID(prefix)
	}
	return T(b), nil
}

func badID(prefix string) error {
	return fmt.Errorf("not an id of the form %s_ and %d characters of lower-case base32", prefix, encodedLen)
}

func formatUUID(id [16]byte) string {
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
