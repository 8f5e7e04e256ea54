//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"syscall"
)

// loopback is the only TCP address a server listens on: it trusts whoever
// connects.
const loopback = "127.0.0.1"

// PortInUseError reports that something else listens on the port a server was
// to have.
type PortInUseError struct {
	Port int
}

func (e *PortInUseError) Error() string {
	return fmt.Sprintf("port %d is in use", e.Port)
}

// checkPort returns a *PortInUseError if port cannot be listened on.
func checkPort(ctx context.Context, port int) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(loopback, strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return &PortInUseError{Port: port}
	}
	if err != nil {
		return fmt.Errorf("listen on port %d: %w", port, err)
	}
	return l.Close()
}

// Free ports are looked for below the range from which the kernel takes ports
// for outgoing connections: one that it gave us for port 0 may be in use for a
// connection by the time the server listens on it.
const firstFree, freeRange = 20_000, 12_000

// freePort returns a port that was free a moment ago.
func freePort(ctx context.Context) (int, error) {
	var err error
	for range 100 {
		port := firstFree + rand.IntN(freeRange)
		if err = checkPort(ctx, port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port: %w", err)
}
