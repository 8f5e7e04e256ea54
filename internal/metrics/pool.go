package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// PoolStat are the statistics of a pool of database connections at one moment;
// *pgxpool.Stat are.
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

// WatchPool shows the pool's statistics from now on; stat is called for each
// scrape. Call it once.
func (m *Metrics) WatchPool(stat func() PoolStat) {
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
		metric("connections", "Connections, those that are being opened too.", gauge, func(s PoolStat) float64 { return float64(s.TotalConns()) }),
		metric("max_connections", "Connections at most: pool_max_conns.", gauge, func(s PoolStat) float64 { return float64(s.MaxConns()) }),
		metric("acquires_total", "Connections taken.", counter, func(s PoolStat) float64 { return float64(s.AcquireCount()) }),
		metric("acquire_waits_total", "Connections that had to be waited for.", counter, func(s PoolStat) float64 { return float64(s.EmptyAcquireCount()) }),
		metric("acquire_cancels_total", "Connections that were waited for in vain.", counter, func(s PoolStat) float64 { return float64(s.CanceledAcquireCount()) }),
		metric("acquire_seconds_total", "How long it took to get connections.", counter, func(s PoolStat) float64 { return s.AcquireDuration().Seconds() }),
		metric("opened_connections_total", "Connections opened.", counter, func(s PoolStat) float64 { return float64(s.NewConnsCount()) }),
	}
}

// poolCollector reads all values from one statistic, so that they fit together.
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
