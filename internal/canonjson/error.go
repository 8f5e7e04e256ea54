package canonjson

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"grapnel/internal/clip"
)

// Reason is the reason why a value is refused. The set is closed.
type Reason string

const (
	// ReasonNotJSON is text outside the grammar of RFC 8259, including a byte order mark and a second value.
	ReasonNotJSON Reason = "not JSON"
	// ReasonDuplicateKey is a key that occurs twice in one object, however its occurrences are escaped.
	ReasonDuplicateKey Reason = "duplicate key"
	// ReasonLoneSurrogate is an escaped UTF-16 surrogate without its other half.
	ReasonLoneSurrogate Reason = "lone surrogate"
	// ReasonInexactNumber is a number that a double would print as another value, including one that is too small for a
	// double (1e-400).
	ReasonInexactNumber Reason = "inexact number"
	// ReasonNumberOutOfRange is a number too large for a double (1e400).
	ReasonNumberOutOfRange Reason = "number out of range"
	// ReasonTooDeep is nesting over [MaxDepth].
	ReasonTooDeep Reason = "too deep"
	// ReasonInvalidUTF8 is a byte that is not part of valid UTF-8.
	ReasonInvalidUTF8 Reason = "invalid UTF-8"
)

const (
	maxEcho    = 40   // bytes of the input that a message repeats
	maxPointer = 1024 // bytes of Error.Pointer
)

// Error is the reason why a value is refused, and the place.
type Error struct {
	Reason Reason
	// Pointer is the RFC 6901 JSON pointer to the place, "" for the whole value.
	// If it would be longer than 1,024 bytes, it points to the innermost
	// surrounding value for which it is not.
	Pointer string
	// Message is a sentence for the caller of the API. It repeats at most 40
	// bytes of the input and has no pointer or offset in it.
	Message string
	// Offset is the byte offset in the input at or shortly before the place.
	Offset int64
}

// Error returns the message and the pointer, if there is one.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Message
	}
	return e.Message + " (at " + e.Pointer + ")"
}

// errorAtLast returns an error about the last value that was read. Its text is raw.
func (w *writer) errorAtLast(reason Reason, raw []byte, message string) error {
	return &Error{
		Reason:  reason,
		Pointer: clipPointer(w.dec.StackPointer()),
		Message: message,
		Offset:  w.dec.InputOffset() - int64(len(raw)),
	}
}

func (w *writer) outOfRange(raw []byte) error {
	return w.errorAtLast(ReasonNumberOutOfRange, raw,
		"number "+clip.Text(string(raw), maxEcho)+" is out of the range of a double; send it as a string")
}

func (w *writer) inexact(raw []byte, printed decimal) error {
	// The text has the sign of the literal, because the sign of a zero is not printed.
	printed.negative = raw[0] == '-'
	return w.errorAtLast(ReasonInexactNumber, raw,
		"number "+clip.Text(string(raw), maxEcho)+" would arrive as "+string(printed.append(nil))+"; send it as a string")
}

func (w *writer) duplicateKey(raw []byte) error {
	key, _ := jsontext.AppendUnquote(nil, raw) // raw is valid, because the decoder has accepted it
	return w.errorAtLast(ReasonDuplicateKey, raw, "key "+string(AppendString(nil, clip.Text(string(key), maxEcho)))+" appears twice")
}

func (w *writer) tooDeep() error {
	return w.errorAtLast(ReasonTooDeep, []byte("["),
		"arrays and objects are nested over "+strconv.Itoa(MaxDepth)+" deep")
}

// trailing returns the error of a valid token after the value.
func trailing(offset int64) error {
	return &Error{Reason: ReasonNotJSON, Message: "not JSON: there is more text after the value", Offset: offset}
}

// syntaxError translates an error of the decoder. Where the decoder distinguishes errors only by their texts,
// syntaxError looks at the bytes at the offset.
func (w *writer) syntaxError(err error) error {
	var syntactic *jsontext.SyntacticError
	if !errors.As(err, &syntactic) {
		// io.EOF before the first token; reading from memory cannot fail.
		return &Error{Reason: ReasonNotJSON, Message: "not JSON: there is no value", Offset: w.dec.InputOffset()}
	}
	e := &Error{
		Pointer: clipPointer(syntactic.JSONPointer),
		Offset:  syntactic.ByteOffset,
	}
	rest := w.src[min(syntactic.ByteOffset, int64(len(w.src))):]
	r, size := utf8.DecodeRune(rest)
	switch {
	case isSurrogateEscape(rest):
		e.Reason = ReasonLoneSurrogate
		e.Message = "string has the lone surrogate " + string(rest[:6]) + ", which is no Unicode text"
	case bytes.HasPrefix(rest, []byte("\ufeff")) && syntactic.ByteOffset == 0:
		e.Reason = ReasonNotJSON
		e.Message = "not JSON: the text starts with a byte order mark; send UTF-8 without one"
	case r == utf8.RuneError && size == 1:
		e.Reason = ReasonInvalidUTF8
		e.Message = "text is not valid UTF-8"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = ReasonNotJSON
		e.Message = "not JSON: the text ends inside the value"
	default:
		e.Reason = ReasonNotJSON
		e.Message = "not JSON: " + syntactic.Err.Error()
	}
	return e
}

// isSurrogateEscape reports whether text starts with \uD800 to \uDFFF. If the decoder stops at such an escape, the
// other half of the pair is missing.
func isSurrogateEscape(text []byte) bool {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return false
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return err == nil && 0xd800 <= unit && unit <= 0xdfff
}

func clipPointer(pointer jsontext.Pointer) string {
	for len(pointer) > maxPointer {
		pointer = pointer.Parent()
	}
	return string(pointer)
}
