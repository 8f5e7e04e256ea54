package crash

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Publication is one event that was published, or may have been. Publishing again under the same idempotency key is
// the same publication; without a key it is another one.
type Publication struct {
	// Ref is the unique reference in the event's data.
	Ref string
	// Type is the event type or topic, and Cache the cache of a Momento message.
	Type, Cache string
	// Key is the idempotency key; empty for none.
	Key string
	// Begin is the time of the publisher's first request.
	Begin time.Time
	// Accepted reports whether a 202 or 204 came, and At when. ID is the event in the response, as a UUID; a 204 has
	// none.
	Accepted bool
	ID       string
	At       time.Time
	// Unknown is the number of requests without a response that shows whether the event was stored.
	Unknown int
	// Wrong describes an error in a response.
	Wrong string
}

// Names of event types, topics and caches. Every run has a store of its own.
const (
	typeCreated = "crash.order.created"
	typePaid    = "crash.order.paid"
	typeUser    = "crash.user.created"
	topicA      = "CRASH.VALIDATION.SUCCEEDED"
	topicB      = "CRASH.VALIDATION.FAILED"
	cache       = "crash"
	chatter     = "chatter"
	alarms      = "alarms"
	// Types that crash.* does not match: for neighbours, for large events, for the events of a process that will stand
	// still, and, followed by a webhook's name, for a backlog.
	typeNeighbour = "near.created"
	typeLarge     = "large.created"
	typeOwned     = "owned.created"
	typeBacklog   = "backlog."
)

// largeRef is the prefix of the references of large events, and largePadding the bytes of their padding. The whole
// event is below 100 KiB.
const (
	largeRef     = "large."
	largePadding = 100_000
)

// dataOf returns the data of an event with a reference. The receiver can detect any change to it.
func dataOf(ref string) string {
	if strings.HasPrefix(ref, largeRef) {
		return fmt.Sprintf(`{"ref":%q,"padding":"%s"}`, ref, strings.Repeat("x", largePadding))
	}
	return fmt.Sprintf(`{"ref":%q,"padding":"%s"}`, ref, strings.Repeat(ref+" é<&> ", 12))
}

// refOf returns the reference in data; empty if anything has changed. In a large event the padding may have been left
// out, but only as a whole.
func refOf(data []byte) string {
	var d struct{ Ref, Padding string }
	if json.Unmarshal(data, &d) != nil {
		return ""
	}
	if strings.HasPrefix(d.Ref, largeRef) && d.Padding == "" {
		data = bytes.Replace(data, []byte(`""`), []byte(`"`+strings.Repeat("x", largePadding)+`"`), 1)
	}
	if string(data) != dataOf(d.Ref) {
		return ""
	}
	return d.Ref
}

// kind is a way of publishing.
type kind int

const (
	single kind = iota
	keyed
	batch
	commenda
	commendaKeyed
	momento
)

// batchSize is the number of events in a batch, and largeBatch the number in a batch of large events.
const batchSize, largeBatch = 5, 100

// order is the content of one request of the load, as determined by the seed.
type order struct {
	kind kind
	n    int
	typ  string
	// again requests that the order is published once more after it was accepted.
	again bool
	// prefix is the prefix of the references; empty for the load.
	prefix string
	// begin is the time of the first request.
	begin time.Time
}

// size returns the number of events in the order.
func (o *order) size() int {
	switch {
	case o.kind != batch:
		return 1
	case o.typ == typeLarge:
		return largeBatch
	}
	return batchSize
}

// newOrder returns the n-th request of the load.
func newOrder(seed uint64, n int) order {
	r := rand.New(rand.NewPCG(seed, uint64(n)+1000)) //nolint:gosec // not negative
	o := order{n: n, again: r.IntN(10) == 0}
	pick := func(names ...string) string { return names[r.IntN(len(names))] }
	switch at := r.IntN(100); {
	case at < 30:
		o.kind, o.typ = single, pick(typeCreated, typePaid, typeUser)
	case at < 60:
		o.kind, o.typ = keyed, pick(typeCreated, typePaid, typeUser)
	case at < 65:
		o.kind, o.typ = batch, pick(typeCreated, typePaid, typeUser)
	case at < 72:
		o.kind, o.typ = commenda, pick(topicA, topicB, typePaid)
	case at < 80:
		o.kind, o.typ = commendaKeyed, pick(topicA, topicB, typePaid)
	default:
		o.kind, o.typ = momento, pick(chatter, alarms)
	}
	return o
}

// publication returns the order's i-th event at the given try.
func (o *order) publication(i, try int) *Publication {
	p := &Publication{Ref: fmt.Sprintf("%s%d.%d", o.prefix, o.n, i), Type: o.typ, Begin: o.begin}
	switch o.kind {
	case keyed, batch, commendaKeyed:
		p.Key = "key " + p.Ref
	case momento:
		p.Cache = cache
		fallthrough
	case single, commenda:
		p.Ref += fmt.Sprintf(".%d", try)
	}
	return p
}
