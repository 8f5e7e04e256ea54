package hook

import "time"

// Page selects a part of a list, newest first.
type Page struct {
	// Limit is how many entries at most; the caller has bounded it.
	Limit int
	// Before is the id of the last entry of the page before; nil for the first page.
	Before *[16]byte
	// Since and Until bound the entries' times, since <= t < until; zero is no bound.
	Since, Until time.Time
	// Bytes is how large the entries are together at most, one in any case; 0 is no bound.
	Bytes int
}

// NamePage selects a part of a list by name.
type NamePage struct {
	// Limit is how many entries at most, Bytes how large they are together, one in any case.
	Limit, Bytes int
	// After is the name of the last entry of the page before; empty for the first page.
	After string
}

// WebhookFilter narrows a list of webhooks; zero values don't.
type WebhookFilter struct {
	Active  *bool
	Event   string // those that get events of this type
	Profile Profile
	Cache   string // those of this cache
}

// EventFilter narrows a list of events; zero values don't.
type EventFilter struct {
	// Type is a type, or a pattern that it matches.
	Type string
	// May is what the caller may read; zero is everything.
	May Readable
}

// Readable is what a key's topics let it read; zero is everything.
type Readable struct{ Topics, Caches []string }

// Readable is what the key may read.
func (k *APIKey) Readable() Readable { return Readable{k.Topics, k.Caches} }

// DeliveryFilter narrows a list of deliveries; zero values don't.
type DeliveryFilter struct {
	State DeliveryState
	// EventType is a type, or a pattern that it matches.
	EventType string
	// May is what the caller may read of a webhook's, whose cache is looked at already.
	May Readable
}
