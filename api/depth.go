package api

import "bytes"

// splitDepth is how deep a batch is looked into where it is too deep for the
// decoder, which then gives up all of it. An event in it has more than enough of
// that depth left to be refused for it (spec 2.2).
const splitDepth = 200

// shallow is a JSON text without what is nested deeper than most: a 0 and spaces
// stand there, so that places stay what they are. It is false where nothing is, and
// where brackets and strings don't match: then nobody can say what belongs where.
func shallow(raw []byte, most int) ([]byte, bool) {
	var out, open []byte // open are the brackets that have not been closed
	var from int         // where what is too deep begins
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
