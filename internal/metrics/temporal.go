package metrics

import (
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.temporal.io/sdk/client"
)

// Temporal takes in what the Temporal SDK measures: its own names, with the suffixes
// that Prometheus' conventions want (_total, _seconds), as Temporal's documentation and
// dashboards have them. Tags are names of ours and of the SDK's. Call it once.
func (m *Metrics) Temporal() client.MetricsHandler {
	s := &sdkSeries{}
	m.registry.MustRegister(s)
	return sdkHandler{series: s}
}

// sdkSeries are all series of the SDK. One of a name may have other labels than the
// next, which a Vec could not hold.
type sdkSeries struct{ series sync.Map }

// Describe implements prometheus.Collector: what there will be is not known.
func (s *sdkSeries) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *sdkSeries) Collect(out chan<- prometheus.Metric) {
	s.series.Range(func(_, metric any) bool {
		out <- metric.(prometheus.Metric) // find stores nothing else
		return true
	})
}

// find is the series of that name and those tags.
func find[T prometheus.Metric](h sdkHandler, name string, make func(labels prometheus.Labels) T) T {
	key := name + h.key
	found, ok := h.series.series.Load(key)
	if !ok {
		found, _ = h.series.series.LoadOrStore(key, make(h.tags))
	}
	return found.(T) // a name is of one kind
}

// sdkHandler makes series with some tags.
type sdkHandler struct {
	series *sdkSeries
	tags   prometheus.Labels
	key    string
}

var _ client.MetricsHandler = sdkHandler{}

// WithTags implements client.MetricsHandler.
func (h sdkHandler) WithTags(tags map[string]string) client.MetricsHandler {
	all := maps.Clone(h.tags)
	if all == nil {
		all = prometheus.Labels{}
	}
	maps.Copy(all, tags)
	var key strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		key.WriteByte(0)
		key.WriteString(name)
		key.WriteByte(0)
		key.WriteString(all[name])
	}
	return sdkHandler{series: h.series, tags: all, key: key.String()}
}

const sdkHelp = "Of the Temporal SDK: docs.temporal.io/references/sdk-metrics."

// Counter implements client.MetricsHandler.
func (h sdkHandler) Counter(name string) client.MetricsCounter {
	name = strings.TrimSuffix(name, "_total") + "_total" // one of the SDK's has it already
	return sdkCounter{find(h, name, func(labels prometheus.Labels) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: sdkHelp, ConstLabels: labels})
	})}
}

// Gauge implements client.MetricsHandler.
func (h sdkHandler) Gauge(name string) client.MetricsGauge {
	return sdkGauge{find(h, name, func(labels prometheus.Labels) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: sdkHelp, ConstLabels: labels})
	})}
}

// Timer implements client.MetricsHandler.
func (h sdkHandler) Timer(name string) client.MetricsTimer {
	return sdkTimer{find(h, name+"_seconds", func(labels prometheus.Labels) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: name + "_seconds", Help: sdkHelp, ConstLabels: labels,
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 60, 600},
		})
	})}
}

type sdkCounter struct{ prometheus.Counter }

// Inc implements client.MetricsCounter.
func (c sdkCounter) Inc(n int64) { c.Add(float64(n)) }

type sdkGauge struct{ prometheus.Gauge }

// Update implements client.MetricsGauge.
func (g sdkGauge) Update(value float64) { g.Set(value) }

type sdkTimer struct{ prometheus.Histogram }

// Record implements client.MetricsTimer.
func (t sdkTimer) Record(d time.Duration) { t.Observe(d.Seconds()) }
