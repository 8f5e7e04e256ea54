// Package canonjson brings a JSON value into the one form that every receiver agrees on: the text that ECMAScript's
// JSON.stringify(JSON.parse(x)) prints. Receivers verify signatures over exactly that text and would refuse a body in
// any other form. A value that the round trip would change (duplicate keys, lone surrogates, numbers that lose digits)
// is refused here, with a pointer to the place, instead of being delivered changed.
//
// The package is pure: it does no I/O. Its invariant: the output is valid compact JSON, and canonicalizing it again
// changes nothing.
package canonjson

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxDepth is how deep arrays and objects may be nested: a value inside 100 of
// them is accepted, the 101st opening bracket is refused. A scalar alone has
// depth 0.
const MaxDepth = 100

// Canonicalize returns the canonical form of the one JSON value in src, in a
// new slice. White space around the value is allowed. The error is always an
// [*Error]; src is not changed.
func Canonicalize(src []byte) ([]byte, error) {
	out, err := Append(make([]byte, 0, len(src)), src)
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Append appends the canonical form of the one JSON value in src to dst and
// returns the extended slice. The error is always an [*Error], and then the
// result is dst as it was given. src is not changed and must not overlap dst.
func Append(dst, src []byte) ([]byte, error) {
	// jsontext reads a bytes.Buffer in place and copies any other reader. It could find duplicate keys too, but would
	// copy every key for that.
	dec := jsontext.NewDecoder(bytes.NewBuffer(src), jsontext.AllowDuplicateNames(true))
	w := writer{dec: dec, src: src, dst: dst, members: make([]member, 0, 16)}
	if err := w.document(); err != nil {
		return dst, err
	}
	return w.dst, nil
}

// AppendString appends s as a JSON string exactly as JSON.stringify prints it
// and returns the extended slice. Bytes of s that are not UTF-8, which no
// ECMAScript string can hold, become U+FFFD.
func AppendString(dst []byte, s string) []byte {
	// The only error is about invalid UTF-8, which has been replaced.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// StringSize returns the number of bytes that AppendString appends for s.
func StringSize(s string) int {
	size := len(`""`) + len(s)
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				size += len("\ufffd") - 1 // an invalid byte
			}
			i += n
			continue
		}
		switch {
		case c == '"', c == '\\', c == '\b', c == '\f', c == '\n', c == '\r', c == '\t':
			size += len(`\n`) - 1
		case c < ' ':
			size += len(`\u0000`) - 1
		}
		i++
	}
	return size
}

// writer copies the tokens of one document from dec to dst.
type writer struct {
	dec     *jsontext.Decoder
	src     []byte
	dst     []byte
	scratch []byte   // unescaped strings and parts of an object being put in order
	members []member // of all open objects
	depth   int
}

func (w *writer) document() error {
	if err := w.value(); err != nil {
		return err
	}
	end := w.dec.InputOffset()
	switch _, err := w.dec.ReadToken(); {
	case err == nil:
		return trailing(end)
	case errors.Is(err, io.EOF):
		return nil
	default:
		return w.syntaxError(err)
	}
}

func (w *writer) value() error {
	switch w.dec.PeekKind() {
	case '{':
		return w.object()
	case '[':
		return w.array()
	case '0':
		raw, err := w.dec.ReadValue()
		if err != nil {
			return w.syntaxError(err)
		}
		return w.number(raw)
	case '"':
		raw, err := w.dec.ReadValue()
		if err != nil {
			return w.syntaxError(err)
		}
		w.string(raw)
		return nil
	default:
		// A literal, or an invalid token.
		raw, err := w.dec.ReadValue()
		if err != nil {
			return w.syntaxError(err)
		}
		w.dst = append(w.dst, raw...)
		return nil
	}
}

func (w *writer) array() error {
	if err := w.open('['); err != nil {
		return err
	}
	for first := true; w.dec.PeekKind() != ']'; first = false {
		if !first {
			w.dst = append(w.dst, ',')
		}
		if err := w.value(); err != nil {
			return err
		}
	}
	return w.close(']')
}

func (w *writer) object() error {
	if err := w.open('{'); err != nil {
		return err
	}
	body := objectBody{start: len(w.dst), first: len(w.members)}
	for first := true; w.dec.PeekKind() != '}'; first = false {
		if !first {
			w.dst = append(w.dst, ',')
		}
		if err := w.key(&body); err != nil {
			return err
		}
		w.dst = append(w.dst, ':')
		if err := w.value(); err != nil {
			return err
		}
		w.members[len(w.members)-1].end = len(w.dst)
	}
	w.endObject(&body)
	return w.close('}')
}

// open consumes an opening bracket, and refuses it if the nesting gets too deep.
func (w *writer) open(bracket byte) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return w.syntaxError(err)
	}
	if w.depth == MaxDepth {
		return w.tooDeep()
	}
	w.depth++
	w.dst = append(w.dst, bracket)
	return nil
}

func (w *writer) close(bracket byte) error {
	if _, err := w.dec.ReadToken(); err != nil {
		return w.syntaxError(err)
	}
	w.depth--
	w.dst = append(w.dst, bracket)
	return nil
}

// string appends a string that the decoder has accepted. Without escapes it is canonical already, because every
// character that must be escaped cannot occur raw.
func (w *writer) string(raw []byte) {
	if bytes.IndexByte(raw, '\\') < 0 {
		w.dst = append(w.dst, raw...)
		return
	}
	// Both errors report invalid UTF-8, which the decoder has refused before.
	w.scratch, _ = jsontext.AppendUnquote(w.scratch[:0], raw)
	w.dst, _ = jsontext.AppendQuote(w.dst, w.scratch)
}
