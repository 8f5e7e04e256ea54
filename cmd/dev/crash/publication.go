package crash

import (
	"bytes"
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
	// Begin is when its publisher first asked.
	Begin time.Time
	// Accepted says that a 202 or 204 came, At when; ID is the event that the answer
	// named, as a UUID, which a 204 does not.
	Accepted bool
	ID       string
	At       time.Time
	// Unknown is how many requests with it got no answer that reports whether it was
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
	// Types that crash.* does not match: what neighbours publish, large events, and, with
	// a webhook's name behind it, what a backlog is of.
	typeNeighbour = "near.created"
	typeLarge     = "large.created"
	typeBacklog   = "backlog."
)

// largeRef is what the references of large events begin with, largePadding how many
// bytes their padding has: with all that is around it, it is below 100 KiB.
const (
	largeRef     = "large."
	largePadding = 100_000
)

// dataOf is what an event with a reference carries: the receiver can tell whether
// any of it was changed.
func dataOf(ref string) string {
	if strings.HasPrefix(ref, largeRef) {
		return fmt.Sprintf(`{"ref":%q,"padding":"%s"}`, ref, strings.Repeat("x", largePadding))
	}
	return fmt.Sprintf(`{"ref":%q,"padding":"%s"}`, ref, strings.Repeat(ref+" é<&> ", 12))
}

// refOf reads the reference back; empty if anything has changed. In a large event all of
// the padding, and nothing else, may have been left out.
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

// batchSize is how many events a batch has, largeBatch how many a batch of large ones.
const batchSize, largeBatch = 5, 100

// order is what one request of the load is to publish, as the seed says.
type order struct {
	kind kind
	n    int
	typ  string
	// again says that it is to be published once more after it was accepted.
	again bool
	// prefix is what its references begin with; those of the load have none.
	prefix string
	// begin is when it was first asked for.
	begin time.Time
}

// size is how many events it has.
func (o *order) size() int {
	switch {
	case o.kind != batch:
		return 1
	case o.typ == typeLarge:
		return largeBatch
	}
	return batchSize
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
