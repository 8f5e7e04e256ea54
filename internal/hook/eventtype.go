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
	// Group is the name under which pickers show the type together with others; empty for none.
	Group string
	// BuiltIn marks the nine types of S7 and the operational types, which every tenant has.
	BuiltIn bool
	// Shared marks the types that every tenant has: the built-in ones, and those that a platform key has put for all
	// tenants (K6).
	Shared bool
	// Deprecated hides the type from pickers. It works as before.
	Deprecated bool
	// Schema is the JSON Schema for the data, as canonical JSON; nil allows any data.
	Schema []byte
	// Example is data that conforms to Schema, as canonical JSON; nil if none was found.
	Example   []byte
	CreatedAt time.Time
}

// NewEventType is an event type that a client creates or changes.
type NewEventType struct {
	Name string
	// Description, Group and Deprecated are nil if they were not given. An empty group takes the type out of its group.
	Description, Group *string
	Deprecated         *bool
	Schema, Example    []byte
	// Shared puts the type for all tenants (K6). It is then put for the tenant "default".
	Shared bool
}

// MaxGroup bounds the name of a group of event types, in characters.
const MaxGroup = 64

// EventTypeFilter narrows a list of event types. Zero values do not narrow it.
type EventTypeFilter struct {
	Group      string
	Deprecated *bool
}

// Has reports whether the filter lets an event type through.
func (f *EventTypeFilter) Has(t *EventType) bool {
	return (f.Group == "" || t.Group == f.Group) && (f.Deprecated == nil || t.Deprecated == *f.Deprecated)
}

// SchemaHash is the SHA-256 of a schema.
type SchemaHash [sha256.Size]byte

// IsZero reports whether there is no schema.
func (h SchemaHash) IsZero() bool { return h == SchemaHash{} }

// MaxSchemas bounds all of a tenant's schemas together, with their examples, in bytes.
const MaxSchemas = 4 << 20

// BuiltInEventTypes returns the nine types of S7, in their order there.
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
		types[i].BuiltIn, types[i].Shared = true, true
	}
	return types
}

// IsBuiltIn reports whether the name is a built-in or an operational event type.
func IsBuiltIn(name string) bool {
	return IsOperational(name) || slices.ContainsFunc(BuiltInEventTypes(), func(t EventType) bool { return t.Name == name })
}

// TypesAsked are names of event types to look up for a tenant.
type TypesAsked struct {
	TenantID TenantID
	Names    []string
}

// TypesFound is what is known about the names of a TypesAsked.
type TypesFound struct {
	// Unknown are the names that are neither built in nor the tenant's own, in their order.
	Unknown []string
	// Schemas are the hashes of the schemas of the other names that have one.
	Schemas map[string]SchemaHash
}
