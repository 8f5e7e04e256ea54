package bench

import (
	"sync"
	"time"
)

// Tracker matches published events with received requests. Times count from the beginning of the run.
type Tracker struct {
	mu     sync.Mutex
	events []tracked

	outstanding, duplicates, strays int
	acceptedAt, receivedAt          []time.Duration
}

// tracked is one event.
type tracked struct {
	intended, accepted time.Duration // accepted is 0 until the 202
	first, got         int           // first is the first endpoint that is to receive it; got is how many have
	// received holds the time of the first receipt by endpoint, starting at endpoint first; 0 means never. It belongs
	// to the event and not to the endpoint, so that memory grows with the number of deliveries and not with endpoints
	// times events.
	received []time.Duration
}

// NewTracker returns an empty Tracker.
func NewTracker() *Tracker { return &Tracker{} }

// Begin numbers an event that is due at the intended time. endpoints returns, for that number, the endpoints that are
// to receive the event: count of them, starting at first.
func (t *Tracker) Begin(intended time.Duration, endpoints func(n int) (first, count int)) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = len(t.events)
	first, count := endpoints(n)
	t.events = append(t.events, tracked{intended: intended, first: first, received: make([]time.Duration, count)})
	return n
}

// Accept records the 202 of an event. Its deliveries are outstanding from then on, except those that arrived before
// the 202.
func (t *Tracker) Accept(n int, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &t.events[n]
	e.accepted = max(at, 1)
	t.outstanding += len(e.received) - e.got
	t.acceptedAt = append(t.acceptedAt, at)
}

// Receive records that an endpoint received an event.
func (t *Tracker) Receive(n, endpoint int, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n < 0 || n >= len(t.events) {
		t.strays++
		return
	}
	e := &t.events[n]
	if endpoint < e.first || endpoint >= e.first+len(e.received) {
		t.strays++
		return
	}
	if e.received[endpoint-e.first] != 0 {
		t.duplicates++
		return
	}
	e.received[endpoint-e.first] = max(at, 1)
	t.receivedAt = append(t.receivedAt, at)
	e.got++
	if e.accepted != 0 {
		t.outstanding--
	}
}

// Events returns the number of events that have begun.
func (t *Tracker) Events() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.events)
}

// Outstanding returns the number of promised deliveries that have not arrived.
func (t *Tracker) Outstanding() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outstanding
}

// LastReceived returns the time of the last delivery of an event that was due before the given time.
func (t *Tracker) LastReceived(before time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last time.Duration
	for n := range t.events {
		if t.events[n].intended < before {
			for _, at := range t.events[n].received {
				last = max(last, at)
			}
		}
	}
	return last
}

// Fill fills in r for the window from begin to end: counts and rates by the time at which things happened, latencies
// of the events that were due in the window. It counts losses and duplicates over the whole run, because none is ever
// allowed.
func (t *Tracker) Fill(r *Result, begin, end time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	in := func(at time.Duration) bool { return at >= begin && at < end }
	var accepts, receipts []time.Duration
	events := 0
	for n := range t.events {
		e := &t.events[n]
		if e.accepted == 0 {
			continue
		}
		events++
		if !in(e.intended) {
			continue
		}
		accepts = append(accepts, e.accepted-e.intended)
		r.Expected += len(e.received)
		receipts = e.latencies(receipts)
	}
	r.Published, r.Lost, r.Duplicates, r.Strays = events, t.outstanding, t.duplicates, t.strays
	r.Events, r.Deliveries = len(accepts), len(receipts)
	r.Accept, r.Receive = NewLatency(accepts), NewLatency(receipts)
	window := (end - begin).Seconds()
	r.Seconds = window
	r.AcceptedPerSecond = float64(count(t.acceptedAt, in)) / window
	r.DeliveredPerSecond = float64(count(t.receivedAt, in)) / window
	r.Accepted, r.Received = perSecond(t.acceptedAt, begin), perSecond(t.receivedAt, begin)
}

// latencies appends the times to the receipts so far.
func (e *tracked) latencies(to []time.Duration) []time.Duration {
	for _, at := range e.received {
		if at != 0 {
			to = append(to, at-e.intended)
		}
	}
	return to
}

// Minutes returns the receipts of accepted events by the minute in which the events were due, counted from begin. A
// minute without receipts is included, empty.
func (t *Tracker) Minutes(begin, end time.Duration) []Minute {
	t.mu.Lock()
	defer t.mu.Unlock()
	var times [][]time.Duration
	for n := range t.events {
		e := &t.events[n]
		if e.accepted == 0 || e.intended < begin || e.intended >= end {
			continue
		}
		minute := int((e.intended - begin) / time.Minute)
		for len(times) <= minute {
			times = append(times, nil)
		}
		times[minute] = e.latencies(times[minute])
	}
	minutes := make([]Minute, len(times))
	for i := range times {
		l := NewLatency(times[i])
		minutes[i] = Minute{Minute: i + 1, Deliveries: l.Count, P50: l.P50, P99: l.P99, Max: l.Max}
	}
	return minutes
}

func count(times []time.Duration, in func(time.Duration) bool) (n int) {
	for _, at := range times {
		if in(at) {
			n++
		}
	}
	return n
}

// perSecond counts times by the second after begin. It ignores earlier times.
func perSecond(times []time.Duration, begin time.Duration) []int {
	counts := []int{}
	for _, at := range times {
		if at < begin {
			continue
		}
		second := int((at - begin) / time.Second)
		for len(counts) <= second {
			counts = append(counts, 0)
		}
		counts[second]++
	}
	return counts
}
