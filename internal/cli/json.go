package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// object builds a request's body from pairs of a name and a value. The values of "data" and "references" are JSON and
// stay unchanged, digit for digit. Empty values are left out.
func object(pairs ...string) (io.Reader, error) {
	var b bytes.Buffer
	for pair := range slices.Chunk(pairs, 2) {
		name, value := pair[0], []byte(pair[1])
		if len(value) == 0 {
			continue
		}
		switch name {
		case "data":
			if err := valid(value); err != nil {
				return nil, failf(codeWrong, "--data %w", err)
			}
		case "references":
		default:
			value, _ = json.Marshal(pair[1]) // a string can always be encoded
		}
		fmt.Fprintf(&b, "%c%q:%s", separator(&b), name, value)
	}
	if b.Len() == 0 {
		b.WriteByte('{')
	}
	b.WriteByte('}')
	return &b, nil
}

func separator(b *bytes.Buffer) rune {
	if b.Len() == 0 {
		return '{'
	}
	return ','
}

// valid returns where a text stops being JSON. The API checks everything else.
func valid(text []byte) error {
	var any json.RawMessage
	if err := json.Unmarshal(text, &any); err != nil {
		return fmt.Errorf("is not JSON: %w", err)
	}
	return nil
}
