package bench_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/bench"
)

// A run against the floor, which needs no stack, tests load, receiver, correlation and drain together.
func TestRunAgainstTheFloor(t *testing.T) {
	t.Parallel()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- bench.NewFloor().Serve(ctx, l) }()

	rows, err := bench.Run(t.Context(), bench.Spec{
		Case: bench.CaseFloor, Targets: []string{"http://" + l.Addr().String()}, Publishers: 2, Payload: 100,
		WarmUp: 50 * time.Millisecond, Window: 500 * time.Millisecond, Drain: 10 * time.Second,
	})
	cancel()
	require.NoError(t, <-served)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for _, r := range rows {
		require.False(t, r.Failed(), "%+v", r)
		require.Empty(t, r.Errors)
		require.Equal(t, r.Events, r.Deliveries)
		require.Positive(t, r.Receive.P50)
	}
	require.Equal(t, 10, rows[1].Events, "20 a second for half a second")
}

func TestRunKnowsItsCases(t *testing.T) {
	t.Parallel()
	_, err := bench.Run(t.Context(), bench.Spec{Case: "nothing"})
	require.ErrorContains(t, err, "nothing")
}
