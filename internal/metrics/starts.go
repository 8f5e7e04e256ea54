package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/metrics/measure"
)

// startMetrics count the starts of workflows.
type startMetrics struct {
	by    series[measure.StartedBy, startedBy]
	woken prometheus.Counter
}

type startedBy struct{ workflows, events, failures prometheus.Counter }

func (r *registry) startMetrics() startMetrics {
	workflows := r.counters("workflows", "started_total", "Workflows started or found running, by who started them. The sweeper starts and the reconciler restarts what was left behind.", "by")
	events := r.counters("workflows", "events_total", "Events of the workflows started.", "by")
	failures := r.counters("workflows", "start_failures_total", "Starts of workflows that failed. They are tried again.", "by")
	return startMetrics{
		by: newSeries(measure.StartedByValues(), func(by string) startedBy {
			return startedBy{workflows.WithLabelValues(by), events.WithLabelValues(by), failures.WithLabelValues(by)}
		}),
		woken: r.counter("workflows", "hurried_total", "Waiting activities that were woken because something of theirs was due."),
	}
}

// Started counts the start of a workflow for a number of events. err is the reason why the start failed.
func (m *Metrics) Started(by measure.StartedBy, events int, err error) {
	if m == nil {
		return
	}
	s := m.starts.by.of(by)
	if err != nil {
		s.failures.Inc()
		return
	}
	s.workflows.Inc()
	s.events.Add(float64(events))
}

// Woken counts an activity that was woken.
func (m *Metrics) Woken() {
	if m != nil {
		m.starts.woken.Inc()
	}
}

// WatchQueue shows how many events wait for their start. Call it once.
func (m *Metrics) WatchQueue(queued func() int) {
	if m == nil {
		return
	}
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Subsystem: "workflows", Name: "queued_events", Help: "Accepted events in the memory of this process whose workflow is about to be started.",
	}, func() float64 { return float64(queued()) }))
}
