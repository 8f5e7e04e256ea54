package hook

// Premises are what a publication was let in by, where that was not looked up but known
// from before. The store takes the publication only if they hold when it is stored; the
// zero value always does.
type Preconditions struct {
	// Key is the text of the API key, which must be one of the tenant's, neither revoked nor expired.
	Key Secret
	// Listed says that the type must be one of the tenant's own, with the schema of this
	// hash, the zero value for none.
	Listed bool
	Schema SchemaHash
}
