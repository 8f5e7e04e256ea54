package hook

// Preconditions are cached facts on which the check of a publish relied. The store checks them again in the statement
// that stores the event, and refuses the publish if one of them no longer holds. That the event's tenant is active (K8) is
// always required of a client's publish.
type Preconditions struct {
	// Key is the hash of an API key, which must be neither revoked nor expired. It must belong to the event's tenant, or
	// be a platform key. The zero value requires nothing.
	Key KeyHash
	// Listed requires that the type is in the tenant's catalogue and that its schema has the hash Schema. The zero hash
	// stands for a type without a schema.
	Listed bool
	Schema SchemaHash
}
