// Package egress is the only client that sends to receivers: a guarded HTTP client that
// tests and deliveries share. It sends a single POST under a single deadline and
// returns the result as a hook.Attempt. It does not retry, follows no
// redirect and uses no proxy.
//
// Two invariants hold. No packet goes to an address that the guard refuses, because
// the guard is at the socket, after name resolution, at every dial. And no
// request is sent again once a byte of it may have reached the receiver, unless
// the receiver reports by HTTP/2 that it has not processed the request.
//
// It knows nothing of storage, Temporal or signatures, and must not import them.
package egress
