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

// Reveal returns the secret itself, for signing and for the operations that show it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string { return redacted }

// Format keeps every verb of fmt from printing the value. A verb that does not fit text, such as %d, would otherwise
// show it in its error.
func (s Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, redacted) // fmt's own buffer does not fail
}

// LogValue keeps slog from printing the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText keeps the value out of JSON, and so out of Temporal's payloads.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
