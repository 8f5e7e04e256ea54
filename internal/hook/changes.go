package hook

import "time"

// Snapshot is a state of the store, in the store's own words; empty for none. What is committed is visible in it or not.
type Snapshot string

// Change says that something of a webhook, or of a tenant, has changed (P7).
type Change struct {
	// TenantID is the zero value for what all tenants share.
	TenantID TenantID
	// WebhookID is the zero value for what belongs to no webhook, or to several.
	WebhookID WebhookID
}

// Changes is what has changed between two looks at the store.
type Changes struct {
	// Now is the state at this look, to be given to the next one.
	Now Snapshot
	// Begun and Ended are times of the store's clock before and after that state.
	Begun, Ended time.Time
	// List is what has become visible since the earlier look, each once, in no order; empty without an earlier look.
	List []Change
}

// ChangeScope is what a reader wants to hear of.
type ChangeScope struct {
	Of TenantFilter
	// WebhookID restricts it to one webhook, and to what may concern any of its tenant's webhooks; the zero value does not.
	WebhookID WebhookID
}

// ChangeCursor is a time up to which a reader knows everything. The zero value knows nothing. Times are microseconds since
// 1970 by the store's clock.
type ChangeCursor struct {
	// Seen is a time before which everything was known, whichever process is asked.
	Seen int64
	// Process names the process that gave the cursor, and Mark the newest change in it that the reader has heard of.
	Process uint32
	Mark    int64
}
