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

// loopback is the only TCP address a server listens on, because it trusts every
// client.
const loopback = "127.0.0.1"

// PortInUseError reports that another process listens on the port of the server.
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

// Free ports are searched below the range from which the kernel takes ports
// for outgoing connections: a port that the kernel returned for port 0 may be in use for a
// connection when the server listens on it.
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
