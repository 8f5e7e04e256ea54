package storage

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"grapnel/internal/hook"
)

// idSource draws UUIDv7 (RFC 9562). The 12 bits after the version are a fraction of the millisecond (method 3 of
// section 6.2), so that the ids of one process increase even within a millisecond. The 62 bits after the variant are
// random and make the ids unique.
type idSource struct {
	now  func() time.Time
	mu   sync.Mutex
	last int64 // in ticks
}

const (
	// ticksPerMillisecond is the resolution of the 12 bits.
	ticksPerMillisecond = 1 << 12
	// maxAhead bounds, in ticks, how far ids run ahead of the clock. If the clock is set back by less, it is being
	// corrected, and ids continue just after the last one. If it is set back by more, it was wrong, and ids follow
	// it, because they are also times.
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

// tick returns the time in ticks, later than the last one.
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

// ids is the source of this process: ids increase within the process, whichever store draws them.
var ids = idSource{now: time.Now} //nolint:gochecknoglobals // one source per process

// newID draws a UUIDv7. Ids are ordered by time, within this process even inside a millisecond.
func newID[T ~[16]byte]() T { return T(ids.draw()) }

// newDeliveryID draws an id next to the event's: the first eight bytes are the event's, the rest is random.
func newDeliveryID(event hook.EventID) hook.DeliveryID {
	id := hook.DeliveryID(event)
	rand.Read(id[8:]) // it never fails since Go 1.24
	id[8] = id[8]&0x3f | 0x80
	return id
}

// deliveryRange returns the bounds of the ids of an event's deliveries. A few other events may share the range;
// event_id distinguishes them.
func deliveryRange(event hook.EventID) (lo, hi [16]byte) {
	lo, hi = event, event
	for i := 8; i < 16; i++ {
		lo[i], hi[i] = 0, 0xff
	}
	return lo, hi
}

// bounds returns the bounds of the page's ids: lo <= id < hi.
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

// boundsAfter returns the bounds of the ids of a page of a list that is oldest first: p.Before is the id that comes right
// before the page.
func boundsAfter(p hook.Page) (lo, hi [16]byte) {
	after := p.Before
	p.Before = nil
	lo, hi = bounds(p)
	if after == nil || string(after[:]) < string(lo[:]) {
		return lo, hi
	}
	lo = *after
	for i := len(lo) - 1; i >= 0; i-- {
		if lo[i]++; lo[i] != 0 {
			return lo, hi
		}
	}
	return maxID(), hi
}

// sliceBits is how many random bits of a delivery's id determine its slice: the six after the variant and the eight
// that follow.
const sliceBits = 14

// deliverySlice returns the bounds of the ids in one slice of an event's deliveries. The ids are random there, so
// slices are about equal.
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

// cut drops the extra entry that was read to find out whether there are more.
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
