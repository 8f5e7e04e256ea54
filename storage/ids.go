package storage

import (
	"crypto/rand"

	"github.com/google/uuid"

	"grapnel/internal/hook"
)

// newID draws a UUIDv7 (RFC 9562): time-ordered, also among those of one
// millisecond in this process.
func newID[T ~[16]byte]() T {
	return T(uuid.Must(uuid.NewV7()))
}

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
