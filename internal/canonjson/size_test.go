package canonjson_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"grapnel/internal/canonjson"
)

func TestStringSize(t *testing.T) {
	t.Parallel()
	for c := range 256 {
		text := string([]byte{byte(c)})
		require.Len(t, canonjson.AppendString(nil, text), canonjson.StringSize(text), "%q", text)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "text")
		require.Len(t, canonjson.AppendString(nil, text), canonjson.StringSize(text), "%q", text)
	})
}
