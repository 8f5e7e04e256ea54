package hook

// Trace is a place in a distributed trace, as in W3C's Trace Context. The zero value is no place. An event keeps the
// place of its publish, so that its deliveries continue the trace, however much later and in whichever process.
type Trace struct {
	TraceID [16]byte
	SpanID  [8]byte
	Flags   byte
}

// traceLength is the length of Bytes.
const traceLength = 16 + 8 + 1

// IsZero reports whether there is no trace.
func (t Trace) IsZero() bool { return t == Trace{} }

// Bytes returns a trace as it is stored; nil if there is none.
func (t Trace) Bytes() []byte {
	if t.IsZero() {
		return nil
	}
	b := append(make([]byte, 0, traceLength), t.TraceID[:]...)
	return append(append(b, t.SpanID[:]...), t.Flags)
}

// TraceOf parses the output of Bytes. Anything else is no trace.
func TraceOf(b []byte) (t Trace) {
	if len(b) != traceLength {
		return t
	}
	copy(t.TraceID[:], b)
	copy(t.SpanID[:], b[16:])
	t.Flags = b[24]
	return t
}
