package canonjson

import (
	"bytes"
	"math"
	"strconv"
)

const (
	// safeDigits is the number of significant digits that survive the way through a double and back in all of its
	// normal range (DBL_DIG of C). They are then also the shortest text of that double, so such a literal needs no
	// conversion.
	safeDigits = 15
	// safeExponent bounds the decimal exponent of such a literal: well inside the normal range of 1e-307 to 1e308 on
	// both sides.
	safeExponent = 290
	// maxExponent bounds exponents; larger ones are clamped to it. A document fits into memory, so no run of zeros
	// makes up for such an exponent.
	maxExponent = 1 << 40
)

// decimal is the exact value of a number literal: ±0.DIGITS × 10^exponent. The digits neither begin nor end with a
// zero. Zero has no digits.
type decimal struct {
	negative bool
	digits   []byte
	exponent int64
}

// number appends a number literal, which the decoder has accepted, as ECMAScript prints its value. It refuses the
// literal if that would print another value.
func (w *writer) number(raw []byte) error {
	if isSafeInteger(raw) {
		w.dst = append(w.dst, raw...)
		return nil
	}
	var buf [32]byte
	d := parseDecimal(buf[:0], raw)
	if len(d.digits) <= safeDigits && -safeExponent < d.exponent && d.exponent < safeExponent {
		w.dst = d.append(w.dst)
		return nil
	}

	f := d.float()
	if math.IsInf(f, 0) {
		return w.outOfRange(raw)
	}
	var shortest, shortestBuf [32]byte
	printed := parseDecimal(shortestBuf[:0], strconv.AppendFloat(shortest[:0], f, 'e', -1, 64))
	if printed.exponent != d.exponent || !bytes.Equal(printed.digits, d.digits) {
		return w.inexact(raw, printed)
	}
	w.dst = d.append(w.dst)
	return nil
}

// isSafeInteger reports whether raw, a JSON number, is an integer that is printed as it is: no fraction, no exponent,
// not -0, and at most safeDigits long.
func isSafeInteger(raw []byte) bool {
	if len(raw) > safeDigits || raw[0] == '-' && raw[1] == '0' {
		return false
	}
	for _, c := range raw[1:] {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// parseDecimal splits a JSON number into its parts. The digits are kept in buf.
func parseDecimal(buf, raw []byte) decimal {
	var d decimal
	if raw[0] == '-' {
		d.negative = true
		raw = raw[1:]
	}
	mantissa, exponent := raw, []byte(nil)
	if i := bytes.IndexAny(raw, "eE"); i >= 0 {
		mantissa, exponent = raw[:i], raw[i+1:]
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte("."))
	whole = bytes.TrimLeft(whole, "0")
	d.exponent = int64(len(whole))
	if len(whole) == 0 {
		trimmed := bytes.TrimLeft(fraction, "0")
		d.exponent = int64(len(trimmed) - len(fraction))
		fraction = trimmed
	}
	d.digits = bytes.TrimRight(append(append(buf, whole...), fraction...), "0")
	if len(d.digits) == 0 {
		return decimal{}
	}
	d.exponent += parseExponent(exponent)
	return d
}

// parseExponent returns the value of a literal's exponent, clamped to ±maxExponent. "" is 0.
func parseExponent(exponent []byte) int64 {
	negative := bytes.HasPrefix(exponent, []byte("-"))
	var n int64
	for _, c := range bytes.TrimLeft(exponent, "+-") {
		n = min(n*10+int64(c-'0'), maxExponent)
	}
	if negative {
		return -n
	}
	return n
}

// float returns the double nearest to d, or an infinity.
func (d decimal) float() float64 {
	// No double, and no midpoint between two, has more than 768 significant digits. After them it only matters whether
	// there is any digit.
	const enough = 800
	text := make([]byte, 0, 64)
	text = append(text, '.')
	text = append(text, d.digits[:min(len(d.digits), enough)]...)
	if len(d.digits) > enough {
		text = append(text, '1')
	}
	text = strconv.AppendInt(append(text, 'e'), d.exponent, 10)
	// The only error is about the range, and then the result is an infinity.
	f, _ := strconv.ParseFloat(string(text), 64)
	return f
}

// append appends d as ECMAScript prints a number with these digits
// (ECMA-262, Number::toString; k is the digit count, n the exponent).
func (d decimal) append(dst []byte) []byte {
	const zeros = "000000000000000000000" // 21 zeros, the longest run there is
	if len(d.digits) == 0 {
		return append(dst, '0')
	}
	if d.negative {
		dst = append(dst, '-')
	}
	k, n := int64(len(d.digits)), d.exponent
	switch {
	case k <= n && n <= 21:
		return append(append(dst, d.digits...), zeros[:n-k]...)
	case 0 < n && n <= 21:
		dst = append(append(dst, d.digits[:n]...), '.')
		return append(dst, d.digits[n:]...)
	case -6 < n && n <= 0:
		dst = append(append(dst, "0."...), zeros[:-n]...)
		return append(dst, d.digits...)
	}
	dst = append(dst, d.digits[0])
	if k > 1 {
		dst = append(append(dst, '.'), d.digits[1:]...)
	}
	dst = append(dst, 'e')
	if n-1 >= 0 {
		dst = append(dst, '+')
	}
	return strconv.AppendInt(dst, n-1, 10)
}
