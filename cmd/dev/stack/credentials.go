package stack

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"grapnel/internal/hook"
	"grapnel/internal/secrets"
)

// credentials are what a development stack keeps between runs. They protect
// nothing but the examples.
type credentials struct {
	// Receiver signs webhooks for the sample receiver: whsec_ and the base64
	// of 32 bytes.
	Receiver string `json:"receiver"`
	// Encryption is the base64 of the 32-byte key for secrets at rest.
	Encryption string `json:"encryption"`
	// Admin is an API key: gk_ and 52 characters of lower-case base32.
	Admin string `json:"admin"`
}

// NewCredentials makes up secrets.
func NewCredentials() credentials {
	return credentials{
		Receiver:   secrets.NewWebhookSecret(hook.ProfileStandard).Reveal(),
		Encryption: base64.StdEncoding.EncodeToString(random()),
		Admin:      secrets.NewAPIKey().Reveal(),
	}
}

// random returns 32 random bytes.
func random() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return b
}

// LoadCredentials reads the secrets of file, or makes some up and writes them.
func LoadCredentials(file string) (credentials, error) {
	var s credentials
	content, err := os.ReadFile(file) //nolint:gosec // a fixed name in the data directory
	if err == nil {
		if err := json.Unmarshal(content, &s); err != nil {
			return credentials{}, fmt.Errorf("read %s: %w", file, err)
		}
		if s.Receiver == "" || s.Encryption == "" || s.Admin == "" {
			return credentials{}, fmt.Errorf("read %s: a secret is missing; start over with --fresh", file)
		}
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return credentials{}, fmt.Errorf("read secrets: %w", err)
	}
	s = NewCredentials()
	if content, err = json.MarshalIndent(s, "", "  "); err != nil {
		return credentials{}, fmt.Errorf("encode secrets: %w", err)
	}
	// By a rename: a half-written file would lock the encrypted data away.
	if err := os.WriteFile(file+".new", append(content, '\n'), 0o600); err != nil {
		return credentials{}, fmt.Errorf("write secrets: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return credentials{}, fmt.Errorf("write secrets: %w", err)
	}
	return s, nil
}
