package command_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"grapnel/internal/command"
)

func TestRun(t *testing.T) {
	t.Parallel()
	var grammar struct {
		Number int `help:"A number."`
	}
	calls := 0
	count := func(*kong.Context) error { calls++; return nil }
	require.NoError(t, command.Run(&grammar, []string{"--number=7"}, count))
	require.Equal(t, 7, grammar.Number)
	require.Equal(t, 1, calls)

	require.Error(t, command.Run(&grammar, []string{"--number=x"}, count))
	var out bytes.Buffer
	require.NoError(t, command.Run(&grammar, []string{"--help"}, count, kong.Writers(&out, &out)))
	require.Contains(t, out.String(), "A number.")
	require.Equal(t, 1, calls, "neither a wrong flag nor --help runs anything")

	failed := errors.New("failed")
	require.ErrorIs(t, command.Run(&grammar, nil, func(*kong.Context) error { return failed }), failed)
	require.PanicsWithValue(t, "bug", func() {
		_ = command.Run(&grammar, nil, func(*kong.Context) error { panic("bug") })
	})
}
