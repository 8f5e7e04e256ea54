//go:build !(linux && amd64)

package crash

import (
	"errors"
	"time"
)

// canJumpClocks reports whether SetClock works on this platform.
const canJumpClocks = false

// SetClock returns an error: it is not possible on this platform.
func SetClock(int, time.Duration) error {
	return errors.New("clocks of processes can be set on Linux on amd64 only")
}
