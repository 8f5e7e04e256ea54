//go:build !(linux && amd64)

package crash

import (
	"errors"
	"time"
)

// canJumpClocks says that SetClock works here.
const canJumpClocks = false

// SetClock is not possible here.
func SetClock(int, time.Duration) error {
	return errors.New("clocks of processes can be set on Linux on amd64 only")
}
