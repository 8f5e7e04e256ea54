package storage

import (
	"bytes"
	"slices"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
)

// Metrics counts the store's work. No label value comes from a client.
type Metrics interface {
	// Published counts the outcomes of the events of one call, and the deliveries made of them.
	Published(p measure.Published)
	// Grouped counts a shared statement: its rows, how long the first item waited for it, and how long it took.
	Grouped(group measure.Group, rows int, waited, took time.Duration)
	// Ended counts deliveries that have reached a final state.
	Ended(state hook.DeliveryState, n int)
	// Replayed counts deliveries that a step of a replay has made.
	Replayed(n int)
	// Breaker counts circuit breakers that were opened or closed.
	Breaker(open bool)
}

// noMetrics counts nothing.
type noMetrics struct{}

func (noMetrics) Published(measure.Published)                              {}
func (noMetrics) Grouped(measure.Group, int, time.Duration, time.Duration) {}
func (noMetrics) Ended(hook.DeliveryState, int)                            {}
func (noMetrics) Replayed(int)                                             {}
func (noMetrics) Breaker(bool)                                             {}

// countPublished counts the outcomes of a call of PublishAll.
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

// endedOf returns the deliveries that have just reached a final state, without tests. The records are sorted by their
// deliveries' ids.
func endedOf(records []hook.Record, changed []hook.Delivery) (ended []hook.Delivery) {
	for i := range changed {
		d := &changed[i]
		if d.Outstanding() || d.Test {
			continue
		}
		// An attempt by hand of a delivery that had ended does not end it.
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

// recordFor returns the delivery's record, nil if there is none. The records are sorted by their deliveries' ids.
func recordFor(records []hook.Record, id hook.DeliveryID) *hook.Record {
	at, ok := slices.BinarySearchFunc(records, id, func(r hook.Record, id hook.DeliveryID) int {
		return bytes.Compare(r.Delivery.ID[:], id[:])
	})
	if !ok {
		return nil
	}
	return &records[at]
}
