package stack

import (
	"errors"
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/postgres"
)

func TestBusyPortNamesTheFlag(t *testing.T) {
	t.Parallel()
	l, err := Listen(t.Context(), uiFlag, Loopback+":0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err = checkAddr(t.Context(), uiFlag, l.Addr().String())
	tcp, ok := l.Addr().(*net.TCPAddr)
	require.True(t, ok)
	require.ErrorContains(t, err, fmt.Sprintf("port %d (--ui-addr) is in use: ", tcp.Port))
	require.ErrorContains(t, err, "; choose another with --ui-addr")
}

func TestBadAddressNamesTheFlag(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{"8233", "127.0.0.1:http9", "256.0.0.1:1"} {
		_, err := checkAddr(t.Context(), uiFlag, addr)
		require.ErrorContains(t, err, uiFlag, addr)
		require.ErrorContains(t, err, addr)
	}
}

func TestPostgresPortError(t *testing.T) {
	t.Parallel()
	err := postgresPortError(fmt.Errorf("start: %w", &postgres.PortInUseError{Port: 5432}), "--postgres-port")
	require.EqualError(t, err,
		"port 5432 (--postgres-port) is in use: address already in use; choose another with --postgres-port")
	other := errors.New("other")
	require.Equal(t, other, postgresPortError(other, "--postgres-port"))
}

func TestFreeAddrsDiffer(t *testing.T) {
	t.Parallel()
	addrs, err := FreeAddrs(t.Context(), Loopback, 20)
	require.NoError(t, err)
	seen := make(map[string]bool)
	for _, a := range addrs {
		seen[a.String()] = true
	}
	require.Len(t, seen, 20)
}
