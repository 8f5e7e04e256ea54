package metrics

import "github.com/prometheus/client_golang/prometheus"

// WatchMemory shows how much of one of the worker's budgets of memory is used, of how
// much, in bytes, and how many wait for a part of it. Call it once for each.
func (m *Metrics) WatchMemory(budget string, use func() (used, size, waiting int64)) {
	gauge := func(name, help string, value func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "memory", Name: name, Help: help, ConstLabels: prometheus.Labels{"budget": budget},
		}, func() float64 { return float64(value()) }))
	}
	gauge("used_bytes", "Memory that deliveries in this worker have taken of the budget for jobs, payloads, requests, or late results.",
		func() int64 { used, _, _ := use(); return used })
	gauge("budget_bytes", "How much they may take.", func() int64 { _, size, _ := use(); return size })
	gauge("waiting", "Runs and requests that wait for a part of the budget.", func() int64 { _, _, waiting := use(); return waiting })
}
