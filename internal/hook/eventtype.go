package hook

import (
	"crypto/sha256"
	"slices"
	"time"
)

// EventType is an entry of a tenant's catalogue (S7).
type EventType struct {
	Name        string
	Description string
	// BuiltIn marks the nine of the seed and the operational ones, which every tenant has.
	BuiltIn bool
	// Schema is the JSON Schema that data must meet, canonical JSON; nil if any will do.
	Schema []byte
	// Example is data that meets Schema, canonical JSON; nil where none was found.
	Example   []byte
	CreatedAt time.Time
}

// NewEventType is an event type as it is put.
type NewEventType struct {
	Name string
	// Description is nil where it was not given.
	Description     *string
	Schema, Example []byte
}

// SchemaHash is the SHA-256 of a schema.
type SchemaHash [sha256.Size]byte

// IsZero tells that there is no schema.
func (h SchemaHash) IsZero() bool { return h == SchemaHash{} }

// MaxSchemas bounds all of a tenant's schemas together, with their examples, in bytes.
const MaxSchemas = 4 << 20

// BuiltInEventTypes are the nine of the generic seed, in its order.
func BuiltInEventTypes() []EventType {
	types := []EventType{
		{Name: "user.created", Description: "New user registered"},
		{Name: "user.updated", Description: "User profile updated"},
		{Name: "user.deleted", Description: "User account deleted"},
		{Name: "project.created", Description: "New project created"},
		{Name: "project.updated", Description: "Project modified"},
		{Name: "project.deleted", Description: "Project deleted"},
		{Name: "file.uploaded", Description: "File uploaded"},
		{Name: "payment.succeeded", Description: "Payment processed successfully"},
		{Name: "payment.failed", Description: "Payment failed"},
	}
	for i := range types {
		types[i].BuiltIn = true
	}
	return types
}

// IsBuiltIn reports whether the name is one of the nine or of operational events.
func IsBuiltIn(name string) bool {
	return IsOperational(name) || slices.ContainsFunc(BuiltInEventTypes(), func(t EventType) bool { return t.Name == name })
}
