package hook

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a signing secret or another value that must not be printed: it
// shows as *** in logs, errors and JSON. Reveal gives the value.
type Secret string

const redacted = "***"

// Reveal is the secret itself, for signing and for the operations that show it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string { return redacted }

// Format keeps every verb of fmt from printing the value, those too that make no
// sense for text: %d would show it in its complaint.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // fmt's own buffer does not fail
}

// LogValue keeps slog from printing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps encoding/json, and so Temporal's payloads, from holding the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
