// Package clip shortens text that comes from outside before it is shown. It is a leaf and imports only the standard
// library.
package clip

import "unicode/utf8"

const ellipsis = "…"

// Text returns s if it has at most most bytes, and otherwise its beginning and an ellipsis, most bytes at the longest. It
// cuts between characters.
func Text(s string, most int) string {
	if len(s) <= most {
		return s
	}
	end := max(most-len(ellipsis), 0)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
