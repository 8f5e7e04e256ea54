package crash

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Publication is one event that was, or may have been, published. What is published
// again under the same idempotency key is the same; what is published again without
// one is another.
type Publication struct {
	// Ref tells it from all others; it is in its data.
	Ref string
	// Type is the event type or topic, Cache the cache of a Momento message.
	Type, Cache string
	// Key is the idempotency key; empty for none.
	Key string
	// Accepted says that a 202 or 204 came; ID is the event that the answer named, as
	// a UUID, which a 204 does not.
	Accepted bool
	ID       string
	At       time.Time
	// Unknown is how many requests with it got no answer that tells whether it was
	// stored.
	Unknown int
	// Wrong is what was wrong with an answer.
	Wrong string
}

// Names of what is published and subscribed to. Every run has a store of its own.
const (
	typeCreated = "crash.order.created"
	typePaid    = "crash.order.paid"
	typeUser    = "crash.user.created"
	topicA      = "CRASH.VALIDATION.SUCCEEDED"
	topicB      = "CRASH.VALIDATION.FAILED"
	cache       = "crash"
	chatter     = "chatter"
	alarms      = "alarms"
)

// dataOf is what an event with a reference carries: the receiver can tell whether
// any of it was changed.
func dataOf(ref string) string {
	return fmt.Sprintf(`{"ref":%q,"padding":"%s"}`, ref, strings.Repeat(ref+" é<&> ", 12))
}

// refOf reads the reference back; empty if anything has changed.
func refOf(data []byte) string {
	var d struct{ Ref string }
	if json.Unmarshal(data, &d) != nil || string(data) != dataOf(d.Ref) {
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

// batchSize is how many events a batch has.
const batchSize = 5

// order is what one request of the load is to publish, as the seed says.
type order struct {
	kind kind
	n    int
	typ  string
	// again says that it is to be published once more after it was accepted.
	again bool
}

// newOrder is the n-th request of the load.
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

// publication is the order's i-th event at the given try.
func (o *order) publication(i, try int) *Publication {
	p := &Publication{Ref: fmt.Sprintf("%d.%d", o.n, i), Type: o.typ}
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
