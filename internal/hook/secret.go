package hook

import "log/slog"

// Secret is a signing secret or another value that must not be printed: it
// shows as *** in logs, errors and JSON. Reveal gives the value.
type Secret string

const redacted = "***"

// Reveal is the secret itself, for signing and for the operations that show it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string { return redacted }

// GoString keeps %#v from printing the value.
func (s Secret) GoString() string { return redacted }

// LogValue keeps slog from printing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps encoding/json, and so Temporal's payloads, from holding the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
