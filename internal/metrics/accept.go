package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/hook"
)

// acceptMetrics are those of what is stored. All series are there from the start, so
// that what happens for the first time is an increase.
type acceptMetrics struct {
	accepted, duplicate, refused, failed, operational prometheus.Counter
	deliveries                                        prometheus.Counter
	took                                              prometheus.Histogram
	ended                                             map[hook.DeliveryState]prometheus.Counter
	opened, closed                                    prometheus.Counter
	groups                                            map[string]groupMetrics
}

// groupMetrics are those of a group that shares statements.
type groupMetrics struct{ rows, wait, duration prometheus.Observer }

func (r *registry) acceptMetrics() acceptMetrics {
	published := r.counters("events", "published_total", "Events published, by what came of them: refused are those whose id stands for another content, failed those that could not be stored, operational those that the service itself has published.", "outcome")
	ended := r.counters("deliveries", "ended_total", "Deliveries that have come to a final state, tests left out.", "state")
	breakers := r.counters("breakers", "changes_total", "Circuit breakers opened, or closed because a probe was answered.", "to")
	a := acceptMetrics{
		accepted: published.WithLabelValues("accepted"), duplicate: published.WithLabelValues("duplicate"),
		refused: published.WithLabelValues("refused"), failed: published.WithLabelValues("failed"),
		operational: published.WithLabelValues("operational"),
		deliveries:  r.counter("deliveries", "accepted_total", "Deliveries made of accepted events."),
		took: r.histogram("events", "accept_duration_seconds", "How long it took until what one request publishes was durable.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		ended:  map[hook.DeliveryState]prometheus.Counter{},
		opened: breakers.WithLabelValues("open"), closed: breakers.WithLabelValues("closed"),
		groups: map[string]groupMetrics{},
	}
	for _, state := range hook.DeliveryStates() {
		if state != hook.StatePending && state != hook.StateSending {
			a.ended[state] = ended.WithLabelValues(string(state))
		}
	}
	rows := r.histograms("group", "rows", "Rows of a shared database statement, by what it does.", prometheus.ExponentialBuckets(1, 2, 10), "group")
	wait := r.histograms("group", "wait_seconds", "How long the first of a shared statement waited for it.", groupBuckets(), "group")
	duration := r.histograms("group", "duration_seconds", "How long a shared statement took, to the end of its commit.", groupBuckets(), "group")
	for _, name := range []string{"publish", "record", "api_keys", "event_types"} {
		a.groups[name] = groupMetrics{rows.WithLabelValues(name), wait.WithLabelValues(name), duration.WithLabelValues(name)}
	}
	return a
}

func groupBuckets() []float64 {
	return []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 10}
}

// Published counts what came of events that were published together.
func (m *Metrics) Published(p hook.Published) {
	m.accept.accepted.Add(float64(p.Accepted))
	m.accept.duplicate.Add(float64(p.Duplicates))
	m.accept.refused.Add(float64(p.Refused))
	m.accept.failed.Add(float64(p.Failed))
	m.accept.deliveries.Add(float64(p.Deliveries))
	m.accept.operational.Add(float64(p.Operational))
	if p.Operational == 0 { // they share what they are told of
		m.accept.took.Observe(p.Took.Seconds())
	}
}

// Grouped counts a shared statement.
func (m *Metrics) Grouped(group string, rows int, waited, took time.Duration) {
	g, ok := m.accept.groups[group]
	if !ok {
		return
	}
	g.rows.Observe(float64(rows))
	g.wait.Observe(waited.Seconds())
	g.duration.Observe(took.Seconds())
}

// Ended counts deliveries that have come to a final state.
func (m *Metrics) Ended(state hook.DeliveryState, n int) {
	if c := m.accept.ended[state]; c != nil {
		c.Add(float64(n))
	}
}

// Breaker counts circuit breakers that were opened or closed.
func (m *Metrics) Breaker(open bool) {
	if open {
		m.accept.opened.Inc()
		return
	}
	m.accept.closed.Inc()
}
