package canonjson_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/canonjson"
)

// RFC 8259, 4: an object is an unordered collection. Everything else has an order.
func TestEqual(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a, b  string
		equal bool
	}{
		"the same":             {`{"a":1}`, `{"a":1}`, true},
		"other order":          {`{"a":1,"b":2}`, `{"b":2,"a":1}`, true},
		"other order deep":     {`[{"a":{"x":1,"y":[{"p":1,"q":2}]},"b":2}]`, `[{"b":2,"a":{"y":[{"q":2,"p":1}],"x":1}}]`, true},
		"array indices":        {`{"2":"x","10":"y","a":1}`, `{"2":"x","10":"y","a":1}`, true},
		"names outside of BMP": {`{"😀":1,"é":2,"\u0001":3}`, `{"\u0001":3,"é":2,"😀":1}`, true},
		"other value":          {`{"a":1,"b":2}`, `{"b":1,"a":2}`, false},
		"arrays have an order": {`[1,2]`, `[2,1]`, false},
		"a string is text":     {`"{\"a\":1,\"b\":2}"`, `"{\"b\":2,\"a\":1}"`, false},
		"other length":         {`{"a":1}`, `{"a":1,"b":2}`, false},
		"other number":         {`1e21`, `1e22`, false},
		"neither JSON":         {`{"a":1,`, `{"b":1,`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.equal, canonjson.Equal([]byte(c.a), []byte(c.b)))
			require.Equal(t, c.equal, canonjson.Equal([]byte(c.b), []byte(c.a)))
			require.True(t, canonjson.Equal([]byte(c.a), []byte(c.a)))
		})
	}
}
