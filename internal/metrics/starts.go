package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
)

// startMetrics are those of starting workflows.
type startMetrics struct {
	by      map[string]startedBy
	hurried prometheus.Counter
}

type startedBy struct{ workflows, events, failures prometheus.Counter }

func (r *registry) startMetrics() startMetrics {
	workflows := r.counters("workflows", "started_total", "Workflows started or found started, by who did it: sweeper and reconciler see to what was left behind.", "by")
	events := r.counters("workflows", "events_total", "Events of the workflows started.", "by")
	failures := r.counters("workflows", "start_failures_total", "Starts that failed; what they were for is tried again.", "by")
	s := startMetrics{
		by:      map[string]startedBy{},
		hurried: r.counter("workflows", "hurried_total", "Workflows that were waiting although something was due, and no longer do."),
	}
	for _, by := range []string{"starter", "sweeper", "reconciler", "drain", "replay", "hand"} {
		s.by[by] = startedBy{workflows.WithLabelValues(by), events.WithLabelValues(by), failures.WithLabelValues(by)}
	}
	return s
}

// Started counts a start of a workflow.
func (m *Metrics) Started(by string, events int, err error) {
	s, ok := m.starts.by[by]
	switch {
	case !ok:
	case err != nil:
		s.failures.Inc()
	default:
		s.workflows.Inc()
		s.events.Add(float64(events))
	}
}

// Hurried counts a wait that was ended.
func (m *Metrics) Hurried() { m.starts.hurried.Inc() }

// WatchQueue shows how many events wait for their start. Call it once.
func (m *Metrics) WatchQueue(queued func() int) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: "workflows", Name: "queued_events", Help: "Accepted events that wait in this process for their workflow's start.",
	}, func() float64 { return float64(queued()) }))
}
