package storage

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// idSource draws UUIDv7 (RFC 9562). The 12 bits after the version are a fraction of the
// millisecond (method 3 of section 6.2), so that ids of one process grow also within one;
// the 62 after the variant are random, and are what makes ids unique.
type idSource struct {
	now  func() time.Time
	mu   sync.Mutex
	last int64 // in ticks
}

const (
	// ticksPerMillisecond is what 12 bits make of one.
	ticksPerMillisecond = 1 << 12
	// maxAhead bounds, in ticks, how far ids are ahead of the clock. A clock that is put
	// back by less is one that is being corrected, and ids go on just after the last. By
	// more it has been wrong, and ids follow it: they are times, too.
	maxAhead = 100 * ticksPerMillisecond
)

func (s *idSource) draw() [16]byte {
	var id [16]byte
	rand.Read(id[8:]) // it never fails since Go 1.24
	t := s.tick(s.now())
	binary.BigEndian.PutUint64(id[:8], uint64(t/ticksPerMillisecond)<<16|uint64(t%ticksPerMillisecond)) //nolint:gosec // after 1970
	id[6] |= 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// tick is the time in ticks, and later than the last.
func (s *idSource) tick(now time.Time) int64 {
	t := now.UnixMilli()*ticksPerMillisecond + int64(now.Nanosecond()%1e6)*ticksPerMillisecond/1e6
	s.mu.Lock()
	defer s.mu.Unlock()
	if t <= s.last && s.last-t <= maxAhead {
		t = s.last + 1
	}
	s.last = t
	return t
}

// ids is the process's: ids grow within it, whichever store draws them.
var ids = idSource{now: time.Now} //nolint:gochecknoglobals // as says the comment

// newID draws a UUIDv7: time-ordered, also among those of one millisecond in this process.
func newID[T ~[16]byte]() T { return T(ids.draw()) }

// newDeliveryID draws an id among the event's neighbours: it shares the first
// eight bytes with the event's, the rest is random.
func newDeliveryID(event hook.EventID) hook.DeliveryID {
	id := hook.DeliveryID(event)
	rand.Read(id[8:]) // it never fails since Go 1.24
	id[8] = id[8]&0x3f | 0x80
	return id
}

// deliveryRange bounds the ids of an event's deliveries. A few other events may
// share the range; event_id tells them apart.
func deliveryRange(event hook.EventID) (lo, hi [16]byte) {
	lo, hi = event, event
	for i := 8; i < 16; i++ {
		lo[i], hi[i] = 0, 0xff
	}
	return lo, hi
}

// bounds are the ids between which the page's entries lie: lo <= id < hi.
func bounds(p hook.Page) (lo, hi [16]byte) {
	hi = maxID()
	if !p.Since.IsZero() {
		lo = hook.IDTime(p.Since)
	}
	if !p.Until.IsZero() {
		hi = hook.IDTime(p.Until)
	}
	if p.Before != nil && string(p.Before[:]) < string(hi[:]) {
		hi = *p.Before
	}
	return lo, hi
}

// sliceBits is how many random bits of a delivery's id slices are made by: the
// six after the variant and the eight that follow.
const sliceBits = 14

// deliverySlice bounds the ids of one of several slices of an event's
// deliveries. The ids are random in there, so slices are about equal.
func deliverySlice(event hook.EventID, slice, of int) (lo, hi [16]byte) {
	lo, hi = deliveryRange(event)
	if of == 1 {
		return lo, hi
	}
	bound := func(n int) uint16 { return uint16(n << sliceBits / of) } //nolint:gosec // below 1 << sliceBits
	first, last := bound(slice), bound(slice+1)-1
	lo[8], lo[9] = 0x80|byte(first>>8), byte(first) //nolint:gosec // 14 bits
	hi[8], hi[9] = 0x80|byte(last>>8), byte(last)   //nolint:gosec // 14 bits
	return lo, hi
}

// cut drops the one entry that was read to see whether there are more.
func cut[T any](found []T, limit int) (list []T, more bool) {
	if len(found) > limit {
		return found[:limit], true
	}
	return found, false
}

func maxID() (id [16]byte) {
	for i := range id {
		id[i] = 0xff
	}
	return id
}
