package metrics

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"grapnel/internal/metrics/measure"
)

const (
	// backlogFresh is how long a count is shown before the next is made, however often scrapes come.
	backlogFresh = 10 * time.Second
	// backlogTimeout bounds how long a scrape waits for the store.
	backlogTimeout = 3 * time.Second
)

// WatchBacklog shows the backlog: work that is due and not done. count is called for a scrape, but not more often than
// every 10 s. If it fails, the metrics are left out: no number is better than an old one. Every process shows the same,
// so aggregate with max, not sum. Call it once.
func (m *Metrics) WatchBacklog(logger *slog.Logger, count func(context.Context) (measure.BacklogStats, error)) {
	if m == nil {
		return
	}
	gauge := func(subsystem, name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help+" It is the same in every process.", labels, nil)
	}
	m.registry.MustRegister(&backlogCollector{
		count: count, log: logger,
		deliveries:      gauge("backlog", "deliveries", "Outstanding deliveries, counted up to a bound. queue=workflow counts those that their workflows send, queue=webhook the deferred ones. due is how long the attempt has been due: later is not yet, 10s is up to 10 s.", "queue", "due"),
		oldestDue:       gauge("backlog", "oldest_due_seconds", "How long the oldest due attempt has been due, without deferred deliveries."),
		unstarted:       gauge("backlog", "unstarted_events", "Accepted events whose workflow has not been started, counted up to a bound."),
		oldestUnstarted: gauge("backlog", "oldest_unstarted_seconds", "Age of the oldest accepted event whose workflow has not been started."),
		replays:         gauge("backlog", "replays", "Replays under way.", "state"),
		breakers:        gauge("backlog", "open_breakers", "Webhooks whose circuit breaker is open."),
		keptDays:        gauge("retention", "kept_days", "Days past the retention that are not dropped, because too many of their deliveries are outstanding."),
	})
}

type backlogCollector struct {
	count                                                                          func(context.Context) (measure.BacklogStats, error)
	log                                                                            *slog.Logger
	deliveries, oldestDue, unstarted, oldestUnstarted, replays, breakers, keptDays *prometheus.Desc

	// mu guards the last count.
	mu   sync.Mutex
	at   time.Time
	last measure.BacklogStats
	ok   bool
}

// Describe implements prometheus.Collector.
func (c *backlogCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.deliveries, c.oldestDue, c.unstarted, c.oldestUnstarted, c.replays, c.breakers, c.keptDays} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c *backlogCollector) Collect(out chan<- prometheus.Metric) {
	stats, ok := c.read()
	if !ok {
		return
	}
	gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
	}
	for i, name := range rangeNames() {
		gauge(c.deliveries, float64(stats.Due[i]), "workflow", name)
		gauge(c.deliveries, float64(stats.Deferred[i]), "webhook", name)
	}
	gauge(c.oldestDue, stats.OldestDue.Seconds())
	gauge(c.unstarted, float64(stats.Unstarted))
	gauge(c.oldestUnstarted, stats.OldestUnstarted.Seconds())
	gauge(c.replays, float64(stats.ReplaysRunning), "running")
	gauge(c.replays, float64(stats.ReplaysPaused), "paused")
	gauge(c.breakers, float64(stats.Breakers))
	gauge(c.keptDays, float64(stats.KeptDays))
}

// read returns a fresh count, or the last one if it is fresh enough. Several scrapes at once share one count.
func (c *backlogCollector) read() (measure.BacklogStats, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.at.IsZero() && time.Since(c.at) < backlogFresh {
		return c.last, c.ok
	}
	ctx, cancel := context.WithTimeout(context.Background(), backlogTimeout)
	defer cancel()
	stats, err := c.count(ctx)
	if err != nil {
		c.log.WarnContext(ctx, "the backlog could not be counted", slog.Any("error", err))
	}
	ranges := len(rangeNames())
	c.at, c.last, c.ok = time.Now(), stats, err == nil && len(stats.Due) == ranges && len(stats.Deferred) == ranges
	return c.last, c.ok
}

// rangeNames returns the values of the label due, one for each range of measure.BacklogBounds.
func rangeNames() []string {
	names := []string{"later"}
	for _, d := range measure.BacklogBounds()[1:] {
		names = append(names, shortDuration(d))
	}
	return append(names, "longer")
}

// shortDuration formats a duration without trailing zeros, such as 10s, 1m or 1h.
func shortDuration(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if len(text) > len(zero) && text[len(text)-len(zero):] == zero {
			text = text[:len(text)-2]
		}
	}
	return text
}
