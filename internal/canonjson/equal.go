package canonjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Equal reports whether two canonical values say the same: they are equal but for the
// order of the members of their objects, which JSON gives no meaning (RFC 8259, 4).
func Equal(a, b []byte) bool {
	if len(a) != len(b) {
		return false // other orders have the same length
	}
	return bytes.Equal(a, b) || bytes.Equal(sorted(a), sorted(b))
}

// sorted is a canonical value with the members of every object in one order, that of
// RFC 8785. What is no such value stays as it is.
func sorted(canonical []byte) []byte {
	v := jsontext.Value(bytes.Clone(canonical))
	if v.Canonicalize() != nil {
		return canonical
	}
	return v
}
