package hook

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Event is one published occurrence. It never changes.
type Event struct {
	ID       EventID
	TenantID TenantID
	Type     string
	// Cache, Sequence and TokenID are those of a Momento message, whose Type is its
	// topic and whose Data is its text as a JSON string. Cache is empty for every
	// other event; Sequence is 0 for a test, which no topic counts.
	Cache    string
	Sequence int64
	TokenID  string
	// Data is canonical JSON (spec 2), exactly the bytes every body carries.
	Data []byte
	// OrganizationID is shown in Commenda's event objects; empty if the publish had none.
	OrganizationID string
	// Test marks the sample event of a test delivery.
	Test      bool
	CreatedAt time.Time
	// Trace is the place of its publish in a trace; zero if it was not traced.
	Trace Trace
	// Hops are the events that led to this one, oldest first, if its publisher named them.
	Hops []EventID
	// References are the publisher's, such as the id of an order (A1). Receivers don't get them.
	References []string
	// WorkflowID names the workflow that delivers the event; empty until one has been started, and for ever if no
	// webhook matched.
	WorkflowID string
	// Deliveries counts the webhooks that matched when it was accepted.
	Deliveries int
}

// IdempotencyWindow is how long a client's key refers to the event first
// published with it (S8).
const IdempotencyWindow = 24 * time.Hour

// MaxIdempotencyKey bounds a client's key, in characters (S8).
const MaxIdempotencyKey = 255

// Publication is an event that is to be accepted.
type Publication struct {
	TenantID       TenantID
	Type           string
	Data           []byte // canonical JSON
	OrganizationID string
	// Cache makes the event a message of the topic Type in that cache.
	Cache string
	// TokenID is that of the publishing key. Only messages show it.
	TokenID string
	// IdempotencyKey is the client's; empty if none was given.
	IdempotencyKey string
	// Trace is the place of the publish in a trace; zero if it is not traced.
	Trace Trace
	// Hops are the events that led to this one, oldest first; at most MaxHops.
	Hops []EventID
	// References find the event later (A1); at most MaxReferences, each once.
	References []string
	// Preconditions must hold for it to be stored.
	Preconditions Preconditions
}

// Fingerprint returns a hash of the content, to recognize other content under the same idempotency key. It depends on
// the order of members in Data: it is stored, and older processes compare it so.
func (p *Publication) Fingerprint() [sha256.Size]byte {
	h := sha256.New()
	parts := [][]byte{[]byte(p.Type), []byte(p.OrganizationID), p.Data}
	if p.Cache != "" {
		parts = append(parts, []byte(p.Cache))
	}
	if len(p.References) > 0 {
		parts = append(parts, nil) // no cache is empty
		for _, r := range p.References {
			parts = append(parts, []byte(r))
		}
	}
	for _, part := range parts {
		// The length comes first, so that two different lists of parts are never hashed as the same bytes.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write(part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// IdempotencyKeyProblem describes what is wrong with a client's key; "" if it is valid.
func IdempotencyKeyProblem(key string) string {
	if key == "" || utf8.RuneCountInString(key) > MaxIdempotencyKey || !cleanText(key) {
		return "must be 1 to 255 characters without control characters"
	}
	return ""
}

// Bounds of an event's references: how many it may have, and their length in characters (A1).
const (
	MaxReferences = 10
	MaxReference  = 128
)

// ReferenceProblem describes what is wrong with a reference of an event; "" if it is valid.
func ReferenceProblem(reference string) string {
	if reference == "" || utf8.RuneCountInString(reference) > MaxReference || !utf8.ValidString(reference) ||
		strings.ContainsFunc(reference, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return "must be 1 to 128 printable characters"
	}
	return ""
}

// Accepted is the result of a publish.
type Accepted struct {
	Event Event
	// Duplicate says that an earlier publish with the same key stands for this one.
	Duplicate bool
	// Due counts the deliveries that the event's workflow sends: all but the deferred ones. If it is 0, the event has
	// no workflow.
	Due int
	// Targets are the webhooks of the due deliveries, for the workflow's summary; at most MaxTargets, and none for a
	// duplicate.
	Targets []Target
	// Undrained are the webhooks that have a deferred delivery and no running drain.
	Undrained []WebhookID
	// Owner is the process that makes the first attempts: the one that has accepted the event, or none. The outbox names it.
	Owner ProcessID
	// Due deliveries as they were stored, at most MaxTargets, and a time before they were.
	Fresh  []FreshDelivery
	ReadAt time.Time
}

// MaxTargets bounds the webhooks a start names in summaries and search
// attributes, whose size Temporal bounds.
const MaxTargets = 50

// Target is a webhook as a person should see it in the Temporal Web UI.
type Target struct {
	WebhookID WebhookID
	Host      string
}

// Repeat is the result for a publication whose idempotency key was used before: either the event that was accepted
// then, as a duplicate, or a conflict. The zero value says that the key was not used.
type Repeat struct {
	Accepted *Accepted
	Err      error
}

// NotDelivered is a webhook that did not get an event, and the reason as it was at the publish (S10, A3).
type NotDelivered struct {
	WebhookID WebhookID
	Reason    string
}
