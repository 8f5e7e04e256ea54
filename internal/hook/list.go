package hook

import "time"

// Page selects a part of a list, newest first.
type Page struct {
	// Limit bounds the number of entries. The caller has validated it.
	Limit int
	// Before is the id of the last entry of the page before; nil for the first page.
	Before *[16]byte
	// Since and Until bound the entries' times, since <= t < until; zero is no bound.
	Since, Until time.Time
	// Bytes bounds the size of the entries together. One entry comes in any case. 0 is no bound.
	Bytes int
}

// NamePage selects a part of a list by name.
type NamePage struct {
	// Limit bounds the number of entries, and Bytes their size together. One entry comes in any case.
	Limit, Bytes int
	// After is the name of the last entry of the page before; empty for the first page.
	After string
}

// WebhookFilter narrows a list of webhooks. Zero values do not narrow it.
type WebhookFilter struct {
	Active  *bool
	Event   string // webhooks that subscribe to this type
	Profile Profile
	Cache   string // webhooks of this cache
}

// EventFilter narrows a list of events. Zero values do not narrow it.
type EventFilter struct {
	// Type is a type, or a pattern of types.
	Type string
	// Reference is one of the events' references (A1).
	Reference string
	// May limits the list to what the client may read; zero is no limit.
	May Readable
}

// Readable limits what a key may read; zero is no limit.
type Readable struct{ Topics, Caches []string }

// Readable returns what the key may read.
func (k *APIKey) Readable() Readable { return Readable{k.Topics, k.Caches} }

// DeliveryFilter narrows a list of deliveries. Zero values do not narrow it.
type DeliveryFilter struct {
	State DeliveryState
	// EventType is a type, or a pattern of types.
	EventType string
	// May limits the list to what the client may read. The caller has checked the webhook's cache.
	May Readable
}
