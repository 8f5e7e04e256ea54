// Package wait pauses a goroutine. It is a leaf and imports only the standard library.
package wait

import (
	"context"
	"time"
)

// For blocks for d, or until ctx ends. It returns ctx's error in the second case. A negative d is zero.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
