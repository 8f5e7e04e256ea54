package metrics

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/hook"
	"grapnel/internal/metrics/measure"
)

// acceptMetrics count the operations of the store. All series exist from the start, so that the first event of a kind
// shows as an increase.
type acceptMetrics struct {
	accepted, duplicate, refused, failed, operational prometheus.Counter
	deliveries, replayed                              prometheus.Counter
	took                                              prometheus.Histogram
	ended                                             series[hook.DeliveryState, prometheus.Counter]
	rejected                                          series[hook.Kind, prometheus.Counter]
	opened, closed                                    prometheus.Counter
	groups                                            series[measure.Group, groupMetrics]
}

// groupMetrics measure one group commit: calls that share statements.
type groupMetrics struct{ rows, wait, duration prometheus.Observer }

func (r *registry) acceptMetrics() acceptMetrics {
	published := r.counters("events", "published_total", "Events published, by outcome: accepted is stored, duplicate was stored before, refused has the idempotency key of an event with another content, failed could not be stored, operational was published by Grapnel itself.", "outcome")
	ended := r.counters("deliveries", "ended_total", "Deliveries that have reached a final state, without tests.", "state")
	rejected := r.counters("events", "refused_total", "Publishes that the API refused, by reason: events, and 1 for a request that was refused as a whole. rate_limited is above a tenant's publish_rate or a limit of requests.", "reason")
	breakers := r.counters("breakers", "changes_total", "Circuit breakers opened, or closed because a probe was answered.", "to")
	return acceptMetrics{
		accepted: published.WithLabelValues("accepted"), duplicate: published.WithLabelValues("duplicate"),
		refused: published.WithLabelValues("refused"), failed: published.WithLabelValues("failed"),
		operational: published.WithLabelValues("operational"),
		deliveries:  r.counter("deliveries", "accepted_total", "Deliveries made of accepted events."),
		replayed:    r.counter("replays", "deliveries_total", "Deliveries made by replays."),
		took: r.histogram("events", "accept_duration_seconds", "Time until the events of one request were durable.",
			[]float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}),
		ended:    newSeries(finalStates(), func(state string) prometheus.Counter { return ended.WithLabelValues(state) }),
		rejected: newSeries(refusals(), func(reason string) prometheus.Counter { return rejected.WithLabelValues(reason) }),
		opened:   breakers.WithLabelValues("open"), closed: breakers.WithLabelValues("closed"),
		groups: r.groupSeries(),
	}
}

func (r *registry) groupSeries() series[measure.Group, groupMetrics] {
	rows := r.histograms("group", "rows", "Rows of a database statement that several calls share, by its purpose.", prometheus.ExponentialBuckets(1, 2, 10), "group")
	wait := r.histograms("group", "wait_seconds", "Time that the call which came first waited for a shared statement.", groupBuckets(), "group")
	duration := r.histograms("group", "duration_seconds", "Time that a shared statement took, with its commit.", groupBuckets(), "group")
	return newSeries(measure.Groups(), func(group string) groupMetrics {
		return groupMetrics{rows.WithLabelValues(group), wait.WithLabelValues(group), duration.WithLabelValues(group)}
	})
}

// finalStates lists the states that a delivery without a further attempt can have.
func finalStates() []hook.DeliveryState {
	return slices.DeleteFunc(hook.DeliveryStates(), func(s hook.DeliveryState) bool {
		return s == hook.StatePending || s == hook.StateSending
	})
}

// refusals lists the kinds of errors that are the client's fault, or the limit's.
func refusals() []hook.Kind {
	return slices.DeleteFunc(hook.Kinds(), func(k hook.Kind) bool { return k == hook.KindUnavailable || k == hook.KindInternal })
}

func groupBuckets() []float64 {
	return []float64{.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 10}
}

// Published counts the results of one call that publishes events.
func (m *Metrics) Published(p measure.Published) {
	if m == nil {
		return
	}
	m.accept.accepted.Add(float64(p.Accepted))
	m.accept.duplicate.Add(float64(p.Duplicates))
	m.accept.refused.Add(float64(p.Refused))
	m.accept.failed.Add(float64(p.Failed))
	m.accept.deliveries.Add(float64(p.Deliveries))
	m.accept.operational.Add(float64(p.Operational))
	if p.Operational == 0 { // operational events are stored with the change that they report, and take no time of their own
		m.accept.took.Observe(p.Took.Seconds())
	}
}

// Refused counts publishes that the API refused for a reason.
func (m *Metrics) Refused(reason hook.Kind, events int) {
	if m != nil {
		m.accept.rejected.of(reason).Add(float64(events))
	}
}

// Grouped counts a statement that several calls have shared: its rows, how long the first call waited for it, and how
// long it took.
func (m *Metrics) Grouped(group measure.Group, rows int, waited, took time.Duration) {
	if m == nil {
		return
	}
	g := m.accept.groups.of(group)
	g.rows.Observe(float64(rows))
	g.wait.Observe(waited.Seconds())
	g.duration.Observe(took.Seconds())
}

// Ended counts deliveries that have reached a final state.
func (m *Metrics) Ended(state hook.DeliveryState, n int) {
	if m != nil {
		m.accept.ended.of(state).Add(float64(n))
	}
}

// Replayed counts deliveries that replays have made.
func (m *Metrics) Replayed(n int) {
	if m != nil {
		m.accept.replayed.Add(float64(n))
	}
}

// Breaker counts a circuit breaker that was opened or closed.
func (m *Metrics) Breaker(open bool) {
	switch {
	case m == nil:
	case open:
		m.accept.opened.Inc()
	default:
		m.accept.closed.Inc()
	}
}
