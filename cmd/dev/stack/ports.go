package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
	"time"

	"grapnel/internal/postgres"
)

// Loopback is the address on which everything listens unless a flag says otherwise.
const Loopback = "127.0.0.1"

// portError reports a port that is in use, and the flag that chooses another.
type portError struct {
	Port int
	Flag string
	Err  error
}

func (e *portError) Error() string {
	return fmt.Sprintf("port %d (%s) is in use: %v; choose another with %s", e.Port, e.Flag, e.Err, e.Flag)
}

func (e *portError) Unwrap() error { return e.Err }

// Listen listens on addr, the value of flag. It returns a *portError if the port is in use.
func Listen(ctx context.Context, flag, addr string) (net.Listener, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", flag, addr, err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", tcp.String())
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, &portError{Port: tcp.Port, Flag: flag, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", flag, addr, err)
	}
	return l, nil
}

// checkAddr resolves addr, the value of flag, for servers that cannot be given a listener. It listens there for a
// moment to find out whether the port is free. Port 0 becomes a free port.
func checkAddr(ctx context.Context, flag, addr string) (*net.TCPAddr, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", flag, addr, err)
	}
	if tcp.IP == nil {
		tcp.IP = net.IPv4zero // ":7233" means every interface
	}
	if tcp.Port == 0 {
		free, err := FreeAddrs(ctx, tcp.IP.String(), 1)
		if err != nil {
			return nil, err
		}
		return free[0], nil
	}
	l, err := Listen(ctx, flag, tcp.String())
	if err != nil {
		return nil, err
	}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("%s %q: %w", flag, addr, err)
	}
	return tcp, nil
}

// Free ports are chosen below the range from which the kernel takes ports for outgoing connections. Otherwise a
// connection might take the port before a server listens on it.
const firstFree, freeRange = 20_000, 12_000

// FreeAddrs returns n different addresses on host on which nothing listens.
func FreeAddrs(ctx context.Context, host string, n int) ([]*net.TCPAddr, error) {
	const tries = 1000
	addrs := make([]*net.TCPAddr, 0, n)
	for range tries {
		if len(addrs) == n {
			return addrs, nil
		}
		addr := &net.TCPAddr{IP: net.ParseIP(host), Port: firstFree + rand.IntN(freeRange)}
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr.String())
		if err != nil {
			continue
		}
		defer l.Close() //nolint:errcheck // all ports are held until all are found; nothing is written
		addrs = append(addrs, addr)
	}
	return nil, fmt.Errorf("find %d free ports on %s: none in %d tries", n, host, tries)
}

// postgresPortError turns PostgreSQL's error about its port into a *portError. It returns other errors unchanged.
func postgresPortError(err error, flag string) error {
	var busy *postgres.PortInUseError
	if errors.As(err, &busy) {
		return &portError{Port: busy.Port, Flag: flag, Err: syscall.EADDRINUSE}
	}
	return err
}

// PollInterval is the pause between two polls of a state that sends no notification.
const PollInterval = 20 * time.Millisecond
