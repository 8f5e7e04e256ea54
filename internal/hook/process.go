package hook

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"
)

// ProcessID identifies a process that makes immediate attempts: the first attempts of events, made as soon as their
// accept is committed. A process draws one when it starts. The zero value is no process.
type ProcessID [16]byte

// NewProcessID draws an id.
func NewProcessID() (id ProcessID) {
	rand.Read(id[:]) // it never fails since Go 1.24
	return id
}

// IsZero reports whether this is no process.
func (id ProcessID) IsZero() bool { return id == ProcessID{} }

// String returns the id in hexadecimal digits; empty for no process.
func (id ProcessID) String() string {
	if id.IsZero() {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// MarshalText returns String.
func (id ProcessID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads String.
func (id *ProcessID) UnmarshalText(text []byte) error {
	*id = ProcessID{}
	if len(text) == 0 {
		return nil
	}
	decoded, err := hex.DecodeString(string(text))
	if err != nil || len(decoded) != len(id) {
		return fmt.Errorf("%q is not the id of a process", text)
	}
	copy(id[:], decoded)
	return nil
}

// An owner is the process that makes an event's immediate attempts. It is alive while its heartbeat is young. By its own
// clock it stops earlier than others take it as dead: so two processes never make the same first attempts, except for a
// request that was on the wire when its process stood still.
const (
	// HeartbeatEvery is the time between two heartbeats.
	HeartbeatEvery = 1500 * time.Millisecond
	// FenceAfter is the age of its own last heartbeat from which a process begins no immediate attempt.
	FenceAfter = 5 * time.Second
	// DeadAfter is the age of a heartbeat from which other processes take over.
	DeadAfter = 7 * time.Second
	// OwnedFor is the age of an event from which every process may start its workflow, though its owner lives: the
	// owner may have lost its connection to Temporal. The workflow still leaves the first attempts to the owner.
	OwnedFor = 30 * time.Second
)

// MaxImmediate is the largest number of deliveries of an event whose first attempts are immediate. The workflow makes
// those of an event with more.
const MaxImmediate = 100
