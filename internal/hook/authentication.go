package hook

import "crypto/sha256"

// KeyHash is the SHA-256 hash of an API key's text. Only authentication sees the text; everything else refers to a key
// by its hash or by its id.
type KeyHash [sha256.Size]byte

// HashKey returns the hash of an API key's text.
func HashKey(text Secret) KeyHash { return sha256.Sum256([]byte(text.Reveal())) }

// IsZero reports whether h is the zero value, which is the hash of no key.
func (h KeyHash) IsZero() bool { return h == KeyHash{} }

// Authentication is a valid API key together with the facts about its tenant that the same look-up returned.
type Authentication struct {
	Key APIKey
	// Named is the tenant that the request names; the zero value if it names none, or if there is no such tenant.
	Named TenantID
	// Suspended reports whether the tenant, the named one if there is one, was suspended (K8).
	Suspended bool
	// Schemas reports whether the tenant, the named one if there is one, had an event type with a schema at the time of
	// the look-up. If it had none, published data need not be validated.
	Schemas bool
	// PublishRate is the tenant's own limit of events per second (K7), that of the named tenant if there is one; nil if it
	// has none.
	PublishRate *int
}
