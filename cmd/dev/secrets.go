package main

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"grapnel/internal/keytext"
)

// secrets are what a development stack keeps between runs. They protect
// nothing but the examples.
type secrets struct {
	// Receiver signs webhooks for the sample receiver: whsec_ and the base64
	// of 32 bytes.
	Receiver string `json:"receiver"`
	// Encryption is the base64 of the 32-byte key for secrets at rest.
	Encryption string `json:"encryption"`
	// Admin is an API key: gk_ and 52 characters of lower-case base32.
	Admin string `json:"admin"`
}

// newSecrets makes up secrets.
func newSecrets() secrets {
	return secrets{
		Receiver:   "whsec_" + base64.StdEncoding.EncodeToString(random()),
		Encryption: base64.StdEncoding.EncodeToString(random()),
		Admin:      keytext.New().Reveal(),
	}
}

// random returns 32 random bytes.
func random() []byte {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // it never fails
	return b
}

// loadSecrets reads the secrets of file, or makes some up and writes them.
func loadSecrets(file string) (secrets, error) {
	var s secrets
	content, err := os.ReadFile(file) //nolint:gosec // a fixed name in the data directory
	if err == nil {
		if err := json.Unmarshal(content, &s); err != nil {
			return secrets{}, fmt.Errorf("read %s: %w", file, err)
		}
		if s.Receiver == "" || s.Encryption == "" || s.Admin == "" {
			return secrets{}, fmt.Errorf("read %s: a secret is missing; start over with --fresh", file)
		}
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return secrets{}, fmt.Errorf("read secrets: %w", err)
	}
	s = newSecrets()
	if content, err = json.MarshalIndent(s, "", "  "); err != nil {
		return secrets{}, fmt.Errorf("encode secrets: %w", err)
	}
	// By a rename: a half-written file would lock the encrypted data away.
	if err := os.WriteFile(file+".new", append(content, '\n'), 0o600); err != nil {
		return secrets{}, fmt.Errorf("write secrets: %w", err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		return secrets{}, fmt.Errorf("write secrets: %w", err)
	}
	return s, nil
}
