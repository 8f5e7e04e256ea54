// Package metrics keeps the metrics of a process and shows them to Prometheus. It has its own registry: nothing else
// registers metrics in it, and two processes in one test do not share it. It must not import the API or the store,
// which hand over plain values (package measure) and types of the domain. Its invariant: no value of a label comes from
// a client.
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

// Metrics are the metrics of a process. They are safe for concurrent use. A nil *Metrics counts nothing and shows
// nothing.
type Metrics struct {
	registry *registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	accept   acceptMetrics
	attempts attemptMetrics
	starts   startMetrics
}

// New returns the metrics of a process: those of Go, of the operating system, and Grapnel's own. The series of API
// requests appear with the first request, all others exist from the start.
func New() *Metrics {
	r := &registry{prometheus.NewRegistry()}
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return &Metrics{
		registry: r,
		requests: r.counters("http", "requests_total", "Requests to API operations, by operation and HTTP status. 499 stands for a client that closed the connection.",
			"operation", "status"),
		duration: r.histograms("http", "request_duration_seconds", "Duration of requests to API operations.",
			// A look-up by key takes a millisecond; sending by hand may take a minute.
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "operation"),
		accept: r.acceptMetrics(), attempts: r.attemptMetrics(), starts: r.startMetrics(),
	}
}

// Request counts one request to an operation of the API.
func (m *Metrics) Request(operation string, status int, took time.Duration) {
	if m == nil {
		return
	}
	m.requests.WithLabelValues(operation, strconv.Itoa(status)).Inc()
	m.duration.WithLabelValues(operation).Observe(took.Seconds())
}

// Handler serves the metrics at /metrics.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	if m != nil {
		mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	}
	return mux
}
