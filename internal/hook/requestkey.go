package hook

import "crypto/sha256"

// RequestKey is a client's idempotency key for a request that creates a resource.
type RequestKey struct {
	TenantID TenantID
	// Operation is the API operation. Each has its own set of keys.
	Operation string
	Key       string
	// Request is a hash of the request, to recognize another request under the same key.
	Request [sha256.Size]byte
}

// OtherRequest returns the error for a key that was used for another request.
func (o *RequestKey) OtherRequest() error {
	return &Error{Kind: KindConflict, Message: "the idempotency key was used within 24 hours for another request"}
}
