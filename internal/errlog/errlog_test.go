package errlog_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/errlog"
)

// Repetitions of one error are logged once; another error, and the same one after a success, are logged again.
func TestChangeLogger(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := errlog.New(slog.New(slog.NewTextHandler(&out, nil)))
	away, late := errors.New("away"), errors.New("late")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	c.Log(ended, "sweep", late) // a task that is stopped fails, and that is no news
	for _, err := range []error{away, away, late, late, away, nil, nil, away} {
		c.Log(t.Context(), "sweep", err)
	}
	require.Equal(t, 4, strings.Count(out.String(), "\n"))
	require.Equal(t, 3, strings.Count(out.String(), "msg=sweep error=away"))
	require.Equal(t, 1, strings.Count(out.String(), "msg=sweep error=late"))
}
