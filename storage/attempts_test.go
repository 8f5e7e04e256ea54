package storage_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

// The log keeps whether a response body was cut, and its announced length. An older binary stores neither: then a
// body of the maximum length counts as cut.
func TestTruncatedBodiesAreLogged(t *testing.T) {
	t.Parallel()
	f := setup(t)
	id := f.delivery(t, f.webhook(t))
	full := []byte(strings.Repeat("x", hook.MaxResponseBody))
	announced := int64(9223372036854775807)
	want := make([]hook.Attempt, 3)
	for i := range want {
		want[i] = answered(500)
	}
	want[0].ResponseBody, want[0].ResponseTruncated, want[0].ResponseLength = full, true, &announced
	want[1].ResponseBody, want[1].ResponseTruncated = full, true
	none := int64(0)
	want[2].ResponseLength = &none
	for i := range want {
		f.attempt(t, id, want[i])
	}
	log, err := f.Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, log, 3)
	for i := range want {
		require.Equal(t, want[i].ResponseTruncated, log[i].ResponseTruncated)
		require.Equal(t, want[i].ResponseLength, log[i].ResponseLength)
	}

	f.exec(t, `update attempts set response_truncated = null, response_length = null`)
	log, err = f.Attempts(t.Context(), id)
	require.NoError(t, err)
	for i := range log {
		require.Equal(t, want[i].ResponseTruncated, log[i].ResponseTruncated)
		require.Nil(t, log[i].ResponseLength)
	}
}
