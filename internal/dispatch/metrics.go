package dispatch

import (
	"grapnel/internal/metrics"
	"grapnel/internal/metrics/measure"
)

// Metrics counts the workflows that are started.
type Metrics interface {
	// Started counts the start of a workflow for a number of events. A workflow that was found running counts too. err
	// is the reason why the start failed.
	Started(by measure.StartedBy, events int, err error)
	// Woken counts an activity that was backing off although something was due, and was woken.
	Woken()
}

// counting returns m, or metrics that count nothing if m is nil.
func counting(m Metrics) Metrics {
	if m == nil {
		return (*metrics.Metrics)(nil)
	}
	return m
}
