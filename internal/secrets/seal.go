// Package secrets draws secrets, and encrypts them at rest with AES-256-GCM (spec 7). Several keys
// may be in use at once: the first one seals, each of them opens, so that keys can
// be rotated. A sealed value is bound to its place by its additional data, and cannot be
// moved to another column, row or tenant. The package does no I/O and keeps keys only in
// memory.
package secrets

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// KeySize is the length of a key in bytes.
const KeySize = 32

// Form is the way in which a value is sealed. It is the first byte of a sealed value.
type Form byte

// The forms. Box opens both. The store decides which one to seal in, because older
// processes know only the first one.
const (
	FormOwner Form = 1 // bound to its owner only
	FormPlace Form = 2 // bound to its form and its whole place
)

// Place is where a sealed value belongs.
type Place struct {
	// Table, Column, Tenant and ID are the position in the database; ID is the row's.
	Table, Column string
	Tenant        [16]byte
	ID            []byte
	// Owner is the additional data of a value in FormOwner.
	Owner []byte
}

// additional returns the additional data of a value in the place.
func (p *Place) additional(f Form) []byte {
	if f == FormOwner {
		return p.Owner
	}
	parts := [][]byte{[]byte(p.Table), []byte(p.Column), p.Tenant[:], p.ID}
	out := append(make([]byte, 0, 128), byte(f))
	for _, part := range parts {
		// The length before each part makes the data of two places differ.
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(part))), part...) //nolint:gosec // names and ids are short
	}
	return out
}

// A sealed value consists of its form, the first four bytes of the key's SHA-256, a
// 12-byte nonce and the ciphertext with its tag.
const (
	keyIDSize = 4
	nonceSize = 12
	headSize  = 1 + keyIDSize + nonceSize
)

// ErrKeys is the error for missing or malformed keys.
var ErrKeys = errors.New("encryption keys: want one or more of 32 bytes in base64, separated by commas")

// Box seals and opens values. It is safe for concurrent use.
type Box struct {
	first [keyIDSize]byte
	aeads map[[keyIDSize]byte]cipher.AEAD
}

// New returns a Box with keys in the format of the configuration: base64 of 32 bytes
// each, separated by commas. The first key seals. An error of New wraps ErrKeys
// and never contains a key.
func New(keys string) (*Box, error) {
	b := &Box{aeads: map[[keyIDSize]byte]cipher.AEAD{}}
	for i, text := range strings.Split(keys, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(text))
		if err != nil || len(key) != KeySize {
			return nil, fmt.Errorf("key %d: %w", i+1, ErrKeys)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		sum := sha256.Sum256(key)
		id := [keyIDSize]byte(sum[:keyIDSize])
		if i == 0 {
			b.first = id
		}
		b.aeads[id] = aead
	}
	return b, nil
}

// Seal encrypts plain for its place.
func (b *Box) Seal(plain []byte, p Place, f Form) []byte {
	out := make([]byte, headSize, headSize+len(plain)+16)
	out[0] = byte(f)
	copy(out[1:], b.first[:])
	nonce := out[1+keyIDSize : headSize]
	rand.Read(nonce) // it never fails since Go 1.24
	return b.aeads[b.first].Seal(out, nonce, plain, p.additional(f))
}

// Current reports whether the value was sealed in the form and with the first key, so
// that it needs no other key. It does not check whether the value can be opened.
func (b *Box) Current(sealed []byte, f Form) bool {
	return len(sealed) >= headSize && sealed[0] == byte(f) && [keyIDSize]byte(sealed[1:1+keyIDSize]) == b.first
}

// Open decrypts a value that Seal made for the same place, in either form. It fails if the
// value was sealed with a key that the Box does not have or for another place, or was
// changed.
func (b *Box) Open(sealed []byte, p Place) ([]byte, error) {
	if len(sealed) < headSize || Form(sealed[0]) != FormOwner && Form(sealed[0]) != FormPlace {
		return nil, errors.New("open sealed value: not in a known form")
	}
	id := sealed[1 : 1+keyIDSize]
	aead, ok := b.aeads[[keyIDSize]byte(id)]
	if !ok {
		return nil, fmt.Errorf("open sealed value: its encryption key, whose SHA-256 begins with %x, is not configured", id)
	}
	plain, err := aead.Open(nil, sealed[1+keyIDSize:headSize], sealed[headSize:], p.additional(Form(sealed[0])))
	if err != nil {
		return nil, errors.New("open sealed value: it was changed or belongs to something else")
	}
	return plain, nil
}
