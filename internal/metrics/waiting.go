package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/hook"
)

const (
	// waitingFresh is how long a count is shown before it is made anew, however often
	// somebody scrapes.
	waitingFresh = 10 * time.Second
	// waitingPatience bounds a scrape's wait for the store.
	waitingPatience = 3 * time.Second
)

// WatchBacklog shows what waits in the store; count is called for a scrape, and not
// more often than every 10 s. Where it fails, the metrics are left out: no number is
// better than an old one. Every process shows the same, so use max, not sum. Call it
// once.
func (m *Metrics) WatchBacklog(logger *slog.Logger, count func(context.Context) (hook.BacklogStats, error)) {
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, "backlog", name), help+" The same in every process.", labels, nil)
	}
	m.registry.MustRegister(&waitingCollector{
		count: count, log: logger,
		deliveries: gauge("deliveries", "Deliveries with an attempt to come, counted up to a bound: those that wait for their time or a worker (queue workflow) and those that wait for their webhook (queue webhook), by how long the attempt has been due: later is not yet, 10s is up to that.", "queue", "due"),
		oldest:     gauge("oldest_due_seconds", "How long the attempt has been due that has been so longest; of those that don't wait for their webhook."),
		unstarted:  gauge("unstarted_events", "Accepted events whose workflow has not been started, counted up to a bound."),
		waitsSince: gauge("oldest_unstarted_seconds", "How long the first of them has waited for that."),
		breakers:   gauge("open_breakers", "Webhooks whose circuit breaker is open."),
		keptDays: prometheus.NewDesc(prometheus.BuildFQName(namespace, "retention", "kept_days"),
			"Days past the retention that stay whole, because too many of their deliveries have an attempt to come. The same in every process.", nil, nil),
	})
}

type waitingCollector struct {
	count                                                         func(context.Context) (hook.BacklogStats, error)
	log                                                           *slog.Logger
	deliveries, oldest, unstarted, waitsSince, breakers, keptDays *prometheus.Desc

	mu   sync.Mutex
	at   time.Time
	last hook.BacklogStats
	ok   bool
}

// Describe implements prometheus.Collector.
func (c *waitingCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.deliveries, c.oldest, c.unstarted, c.waitsSince, c.breakers, c.keptDays} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *waitingCollector) Collect(out chan<- prometheus.Metric) {
	w, ok := c.read()
	if !ok {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for i, name := range rangeNames() {
		gauge(c.deliveries, float64(w.Due[i]), "workflow", name)
		gauge(c.deliveries, float64(w.Deferred[i]), "webhook", name)
	}
	gauge(c.oldest, w.OldestDue.Seconds())
	gauge(c.unstarted, float64(w.Unstarted))
	gauge(c.waitsSince, w.OldestUnstarted.Seconds())
	gauge(c.breakers, float64(w.Breakers))
	gauge(c.keptDays, float64(w.KeptDays))
}

// read counts, unless that was done a moment ago; several scrapes at once count once.
func (c *waitingCollector) read() (hook.BacklogStats, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < waitingFresh {
		return c.last, c.ok
	}
	ctx, cancel := context.WithTimeout(context.Background(), waitingPatience)
	defer cancel()
	w, err := c.count(ctx)
	if err != nil {
		c.log.WarnContext(ctx, "backlog not counted", slog.Any("error", err))
	}
	ranges := len(rangeNames())
	c.at, c.last, c.ok = time.Now(), w, err == nil && len(w.Due) == ranges && len(w.Deferred) == ranges
	return c.last, c.ok
}

// rangeNames are the values of the label due: not yet, and then for at most so long.
func rangeNames() []string {
	names := []string{"later"}
	for _, d := range hook.BacklogBounds()[1:] {
		names = append(names, shortDuration(d))
	}
	return append(names, "longer")
}

// shortDuration is 10s, 1m or 1h.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if len(text) > len(zero) && text[len(text)-len(zero):] == zero {
			text = text[:len(text)-2]
		}
	}
	return text
}
