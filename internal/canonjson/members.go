package canonjson

import (
	"bytes"
	"cmp"
	"slices"
)

const (
	// maxArrayIndex is the largest array index of ECMAScript, 2^32-2; the next
	// number is the largest length of an array and an ordinary key.
	maxArrayIndex = 1<<32 - 2
	// ordinaryKey is the rank of every other key.
	ordinaryKey = maxArrayIndex + 1
	// maxLinear is how many keys are searched one by one for a duplicate. Up to that number this is faster than a map
	// and allocates nothing.
	maxLinear = 32
)

// member is one member of an open object: the start of its text in the output, the ends of its key and of its value
// there, and the value of its key as an array index.
type member struct {
	start, keyEnd, end int
	rank               uint64
}

// objectBody is the state of an open object. The members of it that have been read are writer.members[first:].
type objectBody struct {
	start     int // in the output, after the brace
	first     int
	seen      map[string]struct{} // its keys, once there are over maxLinear
	unordered bool
}

// key reads the next key of body and adds the member.
func (w *writer) key(body *objectBody) error {
	// The decoder refuses a key that is no string.
	raw, err := w.dec.ReadValue()
	if err != nil {
		return w.syntaxError(err)
	}
	start := len(w.dst)
	w.string(raw)
	// Canonical texts are equal if and only if the keys are.
	text := w.dst[start:]
	if w.isDuplicate(body, text) {
		return w.duplicateKey(raw)
	}
	m := member{start: start, keyEnd: len(w.dst), rank: arrayIndex(text[1 : len(text)-1])}
	if len(w.members) > body.first && m.rank < w.members[len(w.members)-1].rank {
		body.unordered = true
	}
	w.members = append(w.members, m)
	return nil
}

// isDuplicate reports whether body has the key already. The time it takes does
// not grow with the object.
func (w *writer) isDuplicate(body *objectBody, text []byte) bool {
	members := w.members[body.first:]
	if len(members) < maxLinear {
		return slices.ContainsFunc(members, func(m member) bool {
			return bytes.Equal(w.dst[m.start:m.keyEnd], text)
		})
	}
	if body.seen == nil {
		body.seen = make(map[string]struct{}, 2*maxLinear)
		for _, m := range members {
			body.seen[string(w.dst[m.start:m.keyEnd])] = struct{}{}
		}
	}
	before := len(body.seen)
	body.seen[string(text)] = struct{}{}
	return len(body.seen) == before
}

// endObject drops the members of body. If they are not in ECMAScript's order, it rearranges them: array indices first,
// in numeric order, then the others in source order.
func (w *writer) endObject(body *objectBody) {
	members := w.members[body.first:]
	if body.unordered {
		for _, m := range members {
			if m.rank != ordinaryKey {
				w.members = append(w.members, m)
			}
		}
		indices := w.members[body.first+len(members):]
		slices.SortFunc(indices, func(a, b member) int { return cmp.Compare(a.rank, b.rank) })

		ordered := w.scratch[:0]
		for _, m := range indices {
			ordered = append(append(ordered, w.dst[m.start:m.end]...), ',')
		}
		for _, m := range members {
			if m.rank == ordinaryKey {
				ordered = append(append(ordered, w.dst[m.start:m.end]...), ',')
			}
		}
		w.scratch = ordered
		w.dst = append(w.dst[:body.start], ordered[:len(ordered)-1]...)
	}
	w.members = w.members[:body.first]
}

// arrayIndex returns the value of a key that is an array index in canonical
// decimal form (no sign, no leading zero), and ordinaryKey for any other key.
func arrayIndex(key []byte) uint64 {
	const maxDigits = 10 // 4294967294
	if len(key) == 0 || len(key) > maxDigits || key[0] == '0' && len(key) > 1 {
		return ordinaryKey
	}
	var n uint64
	for _, c := range key {
		if c < '0' || c > '9' {
			return ordinaryKey
		}
		n = n*10 + uint64(c-'0')
	}
	return min(n, ordinaryKey)
}
