package hook

// Trace is a place in a distributed trace, as W3C's Trace Context has it; the zero
// value is none. An event keeps the place of its publish, so that whoever delivers it,
// and however much later, goes on from there.
type Trace struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
}

// traceLength is that of Bytes.
const traceLength = 16 + 8 + 1

// IsZero tells that there is no trace.
func (t Trace) IsZero() bool { return t == Trace{} }

// Bytes is how a trace is stored; nil where there is none.
func (t Trace) Bytes() []byte {
	if t.IsZero() {
		return nil
	}
	b := append(make([]byte, 0, traceLength), t.TraceID[:]...)
	return append(append(b, t.SpanID[:]...), t.Flags)
}

// TraceOf reads what Bytes wrote; anything else is no trace.
func TraceOf(b []byte) (t Trace) {
	if len(b) != traceLength {
		return t
	}
	copy(t.TraceID[:], b)
	copy(t.SpanID[:], b[16:])
	t.Flags = b[24]
	return t
}
