package bench

import (
	"sync"
	"time"
)

// Tracker correlates what was published with what was received. Times are since
// the beginning of the run.
type Tracker struct {
	mu     sync.Mutex
	events []tracked
	// received holds, by endpoint and event, when the event came first; 0 is never.
	received [][]time.Duration

	outstanding, duplicates, strays int
	acceptedAt, receivedAt          []time.Duration
}

// tracked is one event.
type tracked struct {
	intended, accepted time.Duration // accepted is 0 until the 202
	first, count, got  int           // endpoints that are to receive it; how many have
}

// NewTracker tracks deliveries to a number of endpoints.
func NewTracker(endpoints int) *Tracker {
	return &Tracker{received: make([][]time.Duration, endpoints)}
}

// Begin numbers an event that is to be sent at the intended time. Its number
// decides on the endpoints that it is to reach: count of them, from first on.
func (t *Tracker) Begin(intended time.Duration, endpoints func(n int) (first, count int)) (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n = len(t.events)
	first, count := endpoints(n)
	t.events = append(t.events, tracked{intended: intended, first: first, count: count})
	return n
}

// Accept notes the 202 of an event. What it promises is outstanding from now on,
// unless it has arrived before the answer.
func (t *Tracker) Accept(n int, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := &t.events[n]
	e.accepted = max(at, 1)
	t.outstanding += e.count - e.got
	t.acceptedAt = append(t.acceptedAt, at)
}

// Receive notes that an endpoint got an event.
func (t *Tracker) Receive(n, endpoint int, at time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n < 0 || n >= len(t.events) || endpoint < 0 || endpoint >= len(t.received) {
		t.strays++
		return
	}
	e := &t.events[n]
	if endpoint < e.first || endpoint >= e.first+e.count {
		t.strays++
		return
	}
	got := t.received[endpoint]
	if more := n + 1 - len(got); more > 0 {
		got = append(got, make([]time.Duration, more)...)
		t.received[endpoint] = got
	}
	if got[n] != 0 {
		t.duplicates++
		return
	}
	got[n] = max(at, 1)
	t.receivedAt = append(t.receivedAt, at)
	e.got++
	if e.accepted != 0 {
		t.outstanding--
	}
}

// Outstanding is how many deliveries were promised and have not arrived.
func (t *Tracker) Outstanding() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outstanding
}

// LastReceived is when the last delivery came, of events intended before the
// given time.
func (t *Tracker) LastReceived(before time.Duration) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	var last time.Duration
	for _, got := range t.received {
		for n, at := range got {
			if t.events[n].intended < before {
				last = max(last, at)
			}
		}
	}
	return last
}

// Fill puts into r what is known of the window from begin to end: counts and
// rates by when things happened, latencies of the events that were intended in
// it. Losses and duplicates are those of the whole run: none is ever right.
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
		r.Expected += e.count
		for endpoint := e.first; endpoint < e.first+e.count; endpoint++ {
			if n < len(t.received[endpoint]) && t.received[endpoint][n] != 0 {
				receipts = append(receipts, t.received[endpoint][n]-e.intended)
			}
		}
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

func count(times []time.Duration, in func(time.Duration) bool) (n int) {
	for _, at := range times {
		if in(at) {
			n++
		}
	}
	return n
}

// perSecond counts times by the second after begin; what was before is left out.
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
