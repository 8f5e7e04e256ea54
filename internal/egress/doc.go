// Package egress is the one way out to receivers: a guarded HTTP client that
// tests and deliveries share. It sends a single POST under a single deadline and
// turns whatever happens into a hook.Attempt; it retries nothing, follows
// nothing and asks no proxy.
//
// Two invariants hold. No packet goes to an address the guard refuses, because
// the guard sits on the socket, after name resolution, at every dial. And no
// request is sent again once a byte of it may have reached the receiver, unless
// the receiver says itself, in HTTP/2's terms, that it has not processed it.
//
// It knows nothing of storage, Temporal or signatures, and must not import them.
package egress
