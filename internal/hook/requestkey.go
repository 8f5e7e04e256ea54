package hook

import "crypto/sha256"

// RequestKey is a client's idempotency key for a request that makes something.
type RequestKey struct {
	TenantID TenantID
	// Operation is the request's; each has keys of its own.
	Operation string
	Key       string
	// Request tells the same request from another one under the key.
	Request [sha256.Size]byte
}

// OtherRequest says that the key stands for another request.
func (o *RequestKey) OtherRequest() error {
	return &Error{Kind: KindConflict, Message: "the idempotency key was used within 24 hours for another request"}
}
