// Package keytext makes the texts of API keys, for the API and the command line
// alike.
package keytext

import (
	"crypto/rand"
	"encoding/base32"
	"strings"

	"grapnel/internal/hook"
)

// prefix begins every key that was made here, so that scanners for leaked
// credentials can know one.
const prefix = "gk_"

// size is 256 bits; spec 7 asks for 128 at least.
const size = 32

// New draws a key: gk_ and 52 characters of lower-case base32.
func New() hook.Secret {
	b := make([]byte, size)
	rand.Read(b) // it never fails since Go 1.24
	text := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b)
	return hook.Secret(prefix + strings.ToLower(text))
}
