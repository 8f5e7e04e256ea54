package hook

import (
	"crypto/ed25519"
	"time"
)

// MaxSigningKeys bounds the keys of a tenant that sign at once: the current one, and keys that were rotated out and
// have not expired.
const MaxSigningKeys = 1 + MaxPrevious

// SigningKey is the public part of a key that signs a tenant's requests.
type SigningKey struct {
	TenantID  TenantID
	Public    ed25519.PublicKey
	CreatedAt time.Time
	// ExpiresAt is when the key stops signing; nil for the current one.
	ExpiresAt *time.Time
}
