package hook

// Preconditions are cached facts that a publish relied on. The store checks them again when it stores the publication, and
// stores nothing if one no longer holds. The zero value always holds.
type Preconditions struct {
	// Key is the text of the API key. It must belong to the tenant, and be neither revoked nor expired.
	Key Secret
	// Listed says that the type must be in the tenant's catalogue, and its schema must have the hash Schema. The zero hash
	// stands for no schema.
	Listed bool
	Schema SchemaHash
}
