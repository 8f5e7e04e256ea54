package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStat is a snapshot of the statistics of a pool of database connections; *pgxpool.Stat is one.
type PoolStat interface {
	AcquiredConns() int32
	IdleConns() int32
	TotalConns() int32
	MaxConns() int32
	AcquireCount() int64
	EmptyAcquireCount() int64
	CanceledAcquireCount() int64
	AcquireDuration() time.Duration
	NewConnsCount() int64
}

// WatchPool shows the statistics of the pool. stat is called for each scrape. Call WatchPool once.
func (m *Metrics) WatchPool(stat func() PoolStat) {
	if m == nil {
		return
	}
	m.registry.MustRegister(&poolCollector{stat: stat, metrics: poolMetrics()})
}

type poolMetric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(PoolStat) float64
}

func poolMetrics() []poolMetric {
	metric := func(name, help string, kind prometheus.ValueType, value func(PoolStat) float64) poolMetric {
		return poolMetric{prometheus.NewDesc(prometheus.BuildFQName(namespace, "db_pool", name), help, nil, nil), kind, value}
	}
	const gauge, counter = prometheus.GaugeValue, prometheus.CounterValue
	return []poolMetric{
		metric("acquired_connections", "Connections in use.", gauge, func(s PoolStat) float64 { return float64(s.AcquiredConns()) }),
		metric("idle_connections", "Connections that are open and not in use.", gauge, func(s PoolStat) float64 { return float64(s.IdleConns()) }),
		metric("connections", "All connections, with those that are being opened.", gauge, func(s PoolStat) float64 { return float64(s.TotalConns()) }),
		metric("max_connections", "Greatest number of connections (pool_max_conns).", gauge, func(s PoolStat) float64 { return float64(s.MaxConns()) }),
		metric("acquires_total", "Connections taken from the pool.", counter, func(s PoolStat) float64 { return float64(s.AcquireCount()) }),
		metric("acquire_waits_total", "Connections for which the taker had to wait, because the pool was empty.", counter, func(s PoolStat) float64 { return float64(s.EmptyAcquireCount()) }),
		metric("acquire_cancels_total", "Waits for a connection that were canceled.", counter, func(s PoolStat) float64 { return float64(s.CanceledAcquireCount()) }),
		metric("acquire_seconds_total", "Total time spent on getting connections.", counter, func(s PoolStat) float64 { return s.AcquireDuration().Seconds() }),
		metric("opened_connections_total", "Connections opened.", counter, func(s PoolStat) float64 { return float64(s.NewConnsCount()) }),
	}
}

// poolCollector reads all values of a scrape from one snapshot, so that they are consistent.
type poolCollector struct {
	stat    func() PoolStat
	metrics []poolMetric
}

// Describe implements prometheus.Collector.
func (c *poolCollector) Describe(out chan<- *prometheus.Desc) {
	for _, m := range c.metrics {
		out <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c *poolCollector) Collect(out chan<- prometheus.Metric) {
	s := c.stat()
	for _, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
}
