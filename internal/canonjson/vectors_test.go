package canonjson_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
	"grapnel/internal/canonjson/canonjsontest"
)

func TestVectors(t *testing.T) {
	t.Parallel()
	v := canonjsontest.Load(t, ".")

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
