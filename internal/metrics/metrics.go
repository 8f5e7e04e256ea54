// Package metrics keeps the process's metrics and shows them to Prometheus. It
// owns its registry: nothing registers itself behind its back, and two processes
// in one test don't meet. It knows neither the API nor the store, which bring
// plain values and the domain's. Its invariant: no label's value comes from a client.
package metrics

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const namespace = "grapnel"

// Metrics are a process's. They are safe for concurrent use.
type Metrics struct {
	registry *registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	accept   acceptMetrics
	attempts attemptMetrics
	starts   startMetrics
}

// New makes the metrics of a process: Go's, the operating system's, and ours. Those of
// the API's requests are there as soon as there are any, the others from the start.
func New() *Metrics {
	r := &registry{prometheus.NewRegistry()}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		registry: r,
		requests: r.counters("http", "requests_total", "Requests of API operations, by operation and HTTP status; 499 is a client that went away.",
			"operation", "status"),
		duration: r.histograms("http", "request_duration_seconds", "How long requests of API operations took.",
			// From a look-up by key to a sending by hand, which may take a minute.
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "operation"),
		accept: r.acceptMetrics(), attempts: r.attemptMetrics(), starts: r.startMetrics(),
	}
}

// Request counts one request of an operation.
func (m *Metrics) Request(operation string, status int, took time.Duration) {
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(operation).Observe(took.Seconds())
}

// Handler shows the metrics in the form that a scraper asks for.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	return mux
}
