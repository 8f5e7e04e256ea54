package storage

import (
	"bytes"
	"slices"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
)

// Metrics counts what the store does. Nothing that it is told of comes from a client.
type Metrics interface {
	// Published counts what came of events that were published by one call, and the
	// deliveries made of them.
	Published(p measure.Published)
	// Grouped counts a statement that calls have shared: its rows, how long the first
	// waited for it, and how long it took.
	Grouped(group measure.Group, rows int, waited, took time.Duration)
	// Ended counts deliveries that have come to a final state.
	Ended(state hook.DeliveryState, n int)
	// Breaker counts circuit breakers that were opened or closed.
	Breaker(open bool)
}

// uncounted is Metrics where there are none.
type uncounted struct{}

func (uncounted) Published(measure.Published)                              {}
func (uncounted) Grouped(measure.Group, int, time.Duration, time.Duration) {}
func (uncounted) Ended(hook.DeliveryState, int)                            {}
func (uncounted) Breaker(bool)                                             {}

// countPublished counts what came of a call of PublishAll.
func (s *Store) countPublished(accepted []hook.Accepted, errs []error, took time.Duration) {
	p := measure.Published{Took: took}
	for i := range accepted {
		switch {
		case errs[i] == nil && accepted[i].Duplicate:
			p.Duplicates++
		case errs[i] == nil:
			p.Accepted++
			p.Deliveries += accepted[i].Event.Deliveries
		case hook.KindOf(errs[i]) == hook.KindConflict:
			p.Refused++
		default:
			p.Failed++
		}
	}
	s.metrics.Published(p)
}

// endedOf are those of the deliveries that have just come to a final state, tests left
// out; the records are in the order of their ids.
func endedOf(records []hook.Record, changed []hook.Delivery) (ended []hook.Delivery) {
	for i := range changed {
		d := &changed[i]
		if d.Outstanding() || d.Test {
			continue
		}
		// An attempt by hand of one that had ended ends nothing.
		if r := recordFor(records, d.ID); r != nil && r.Delivery.Outstanding() {
			ended = append(ended, *d)
		}
	}
	return ended
}

func (s *Store) countEnded(ended []hook.Delivery) {
	for i := range ended {
		s.metrics.Ended(ended[i].State, 1)
	}
}

// recordFor is the delivery's among records in the order of their ids; nil if there is
// none.
func recordFor(records []hook.Record, id hook.DeliveryID) *hook.Record {
	at, ok := slices.BinarySearchFunc(records, id, func(r hook.Record, id hook.DeliveryID) int {
		return bytes.Compare(r.Delivery.ID[:], id[:])
	})
	if !ok {
		return nil
	}
	return &records[at]
}
