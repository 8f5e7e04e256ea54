package canonjson

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// Equal reports whether two canonical values are equal except for the order of the members of their objects, which has
// no meaning in JSON (RFC 8259, 4).
func Equal(a, b []byte) bool {
	if len(a) != len(b) {
		return false // other orders have the same length
	}
	return bytes.Equal(a, b) || bytes.Equal(sorted(a), sorted(b))
}

// sorted returns a canonical value with the members of every object in the order of RFC 8785. A text that is no such
// value is returned as it is.
func sorted(canonical []byte) []byte {
	v := jsontext.Value(bytes.Clone(canonical))
	if v.Canonicalize() != nil {
		return canonical
	}
	return v
}
