package api

import "bytes"

// splitDepth is the depth to which a batch is parsed if it is nested too deep for the decoder, which would refuse the
// whole batch. An event that is cut off there is still deeper than events may be, so it is refused for its depth (spec
// 2.2).
const splitDepth = 200

// shallow returns a JSON text in which values nested deeper than most are replaced by a 0 and spaces, so that all
// offsets stay the same. ok is false if nothing had to be replaced, and if brackets and strings don't match, because
// then the nesting is unknown.
func shallow(raw []byte, most int) (out []byte, ok bool) {
	var open []byte // the brackets that have not been closed
	var from int    // where the value that is too deep begins
	inString, escaped := false, false
	for i, c := range raw {
		switch {
		case escaped:
			escaped = false
		case inString:
			escaped, inString = c == '\\', c != '"'
		case c == '"':
			inString = true
		case c == '{', c == '[':
			if open = append(open, c); len(open) == most+1 {
				from = i
			}
		case c == '}', c == ']':
			if len(open) == 0 || open[len(open)-1] != c-2 { // ASCII has each pair two apart
				return nil, false
			}
			if len(open) == most+1 {
				if out == nil {
					out = bytes.Clone(raw)
				}
				copy(out[from:], "0")
				for at := from + 1; at <= i; at++ {
					out[at] = ' '
				}
			}
			open = open[:len(open)-1]
		}
	}
	return out, out != nil && len(open) == 0 && !inString
}
