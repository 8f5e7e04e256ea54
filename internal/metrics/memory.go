package metrics

import "github.com/prometheus/client_golang/prometheus"

// WatchMemory shows a budget of memory: how much of it is used, its size, both in bytes, and how many callers wait for
// a part of it. Call it once for each budget.
func (m *Metrics) WatchMemory(budget string, use func() (used, size, waiting int64)) {
	if m == nil {
		return
	}
	gauge := func(name, help string, value func() int64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "memory", Name: name, Help: help, ConstLabels: prometheus.Labels{"budget": budget},
		}, func() float64 { return float64(value()) }))
	}
	gauge("used_bytes", "Memory that this process has taken from the budget.", func() int64 { used, _, _ := use(); return used })
	gauge("budget_bytes", "Size of the budget.", func() int64 { _, size, _ := use(); return size })
	gauge("waiting", "Runs and requests that wait for memory from the budget.", func() int64 { _, _, waiting := use(); return waiting })
}
