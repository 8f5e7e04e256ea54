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

// Credentials are the secrets that a development stack keeps between runs. They protect nothing but the examples.
type Credentials struct {
	// Receiver signs webhooks for the sample receiver: whsec_ and the base64
	// of 32 bytes.
	Receiver string `json:"receiver"`
	// Encryption is the base64 of the 32-byte key for secrets at rest.
	Encryption string `json:"encryption"`
	// Admin is an API key: gk_ and 52 characters of lower-case base32.
	Admin string `json:"admin"`
}

// NewCredentials returns random secrets.
func NewCredentials() Credentials {
	return Credentials{
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

// LoadCredentials reads the secrets from file. If the file is missing, it writes new ones.
func LoadCredentials(file string) (Credentials, error) {
	var s Credentials
	content, err := os.ReadFile(file) //nolint:gosec // a fixed name in the data directory
	if err == nil {
		if err := json.Unmarshal(content, &s); err != nil {
			return Credentials{}, fmt.Errorf("read %s: %w", file, err)
		}
		if s.Receiver == "" || s.Encryption == "" || s.Admin == "" {
			return Credentials{}, fmt.Errorf("read %s: a secret is missing; start over with --fresh", file)
		}
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return Credentials{}, fmt.Errorf("read secrets: %w", err)
	}
	s = NewCredentials()
	if content, err = json.MarshalIndent(s, "", "  "); err != nil {
		return Credentials{}, fmt.Errorf("encode secrets: %w", err)
	}
	// The rename keeps a half-written file from locking the encrypted data away.
	if err := os.WriteFile(file+".new", append(content, '\n'), 0o600); err != nil {
		return Credentials{}, fmt.Errorf("write secrets: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return Credentials{}, fmt.Errorf("write secrets: %w", err)
	}
	return s, nil
}
