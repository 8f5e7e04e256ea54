package canonjson_test

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
	"grapnel/internal/canonjson/canonjsontest"
)

func FuzzCanonicalize(f *testing.F) {
	v := canonjsontest.Load(f, ".")
	for _, vector := range v.Accept {
		f.Add([]byte(vector.Input))
	}
	for _, vector := range v.Reject {
		f.Add([]byte(vector.Input))
	}
	f.Add([]byte("\"\xff\""))
	f.Add([]byte("\"\xe2\x82"))
	f.Add([]byte(`"\ud83d\u12"`))
	f.Add([]byte(`{"a":1,"2":{"b":0,"0":[{"z":1,"9":2,"8":3}]},"1":3}`))
	f.Add([]byte(`[0.0000000000000000000001e22,1000e-3,9007199254740993.0]`))

	f.Fuzz(func(t *testing.T, src []byte) {
		given := slices.Clone(src)
		out, err := canonjson.Canonicalize(src)
		require.Equal(t, given, src, "input changed")
		if err == nil {
			requireLaws(t, src, out)
			return
		}
		refused, ok := errors.AsType[*canonjson.Error](err)
		require.True(t, ok)
		require.Less(t, len(refused.Message), 150)
		require.True(t, jsontext.Pointer(refused.Pointer).IsValid())
		require.True(t, 0 <= refused.Offset && refused.Offset <= int64(len(src)))
		if refused.Reason == canonjson.ReasonNotJSON {
			require.False(t, json.Valid(src), refused.Message)
		}
	})
}
