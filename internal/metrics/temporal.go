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

// Temporal returns a handler for the metrics of the Temporal SDK. They keep their names, with the suffixes of
// Prometheus' conventions (_total, _seconds), as in Temporal's documentation and dashboards. Their labels have values
// of Grapnel's and of the SDK's own. Call it once.
func (m *Metrics) Temporal() client.MetricsHandler {
	if m == nil {
		return client.MetricsNopHandler
	}
	s := &sdkSeries{}
	m.registry.MustRegister(s)
	return sdkHandler{series: s}
}

// sdkSeries has all series of the SDK. Two series of one name may have different labels, so a Vec cannot hold them.
type sdkSeries struct{ series sync.Map }

// Describe implements prometheus.Collector. It describes nothing, because the series are not known in advance.
func (s *sdkSeries) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (s *sdkSeries) Collect(out chan<- prometheus.Metric) {
	s.series.Range(func(_, metric any) bool {
		out <- metric.(prometheus.Metric) // find stores nothing else
		return true
	})
}

// find returns the series with the name and the tags of h, and makes it if there is none.
func find[T prometheus.Metric](h sdkHandler, name string, make func(labels prometheus.Labels) T) T {
	key := name + h.key
	found, ok := h.series.series.Load(key)
	if !ok {
		found, _ = h.series.series.LoadOrStore(key, make(h.tags))
	}
	return found.(T) // all series of one name are of one kind
}

// sdkHandler makes series that have its tags.
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

const sdkHelp = "A metric of the Temporal SDK, see docs.temporal.io/references/sdk-metrics."

// Counter implements client.MetricsHandler.
func (h sdkHandler) Counter(name string) client.MetricsCounter {
	name = strings.TrimSuffix(name, "_total") + "_total" // one name of the SDK has the suffix already
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
