package canonjson_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
)

// vectors is testdata/canonical-json.json, made with node and without this package.
type vectors struct {
	Accept []struct{ Input, Output string }
	Reject []struct {
		Input string
		Why   canonjson.Reason
	}
}

func loadVectors(tb testing.TB) vectors {
	tb.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "canonical-json.json"))
	require.NoError(tb, err)
	var v vectors
	require.NoError(tb, json.Unmarshal(raw, &v))
	require.Len(tb, v.Accept, 260)
	require.Len(tb, v.Reject, 90)
	return v
}

func TestVectors(t *testing.T) {
	t.Parallel()
	v := loadVectors(t)

	t.Run("accepted", func(t *testing.T) {
		t.Parallel()
		for _, vector := range v.Accept {
			out, err := canonjson.Canonicalize([]byte(vector.Input))
			require.NoError(t, err, "%q", vector.Input)
			require.Equal(t, vector.Output, string(out), "%q", vector.Input)
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		for _, vector := range v.Reject {
			out, err := canonjson.Canonicalize([]byte(vector.Input))
			require.Nil(t, out, "%q", vector.Input)
			refused, ok := errors.AsType[*canonjson.Error](err)
			require.True(t, ok, "%q: %v", vector.Input, err)
			require.Equal(t, vector.Why, refused.Reason, "%q: %v", vector.Input, err)
		}
	})
}
