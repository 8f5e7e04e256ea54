package metrics_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/metrics"
	"grapnel/internal/metrics/measure"
)

func requireLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		require.Contains(t, text, "\n"+line+"\n")
	}
}

func job(p hook.Profile, created time.Time) *hook.Job {
	return &hook.Job{Event: hook.Event{CreatedAt: created}, Webhook: &hook.Webhook{Profile: p}}
}

func TestAttempts(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	now := time.Now()
	standard := job(hook.ProfileStandard, now.Add(-40*time.Millisecond))
	m.Sending(1)
	m.Sending(1)
	m.Sending(-1)
	m.NotSent()
	m.Immediate(true)
	m.Immediate(true)
	m.Immediate(false)
	m.Attempted(standard, &hook.Attempt{Number: 1, StatusCode: 200, StartedAt: now, Duration: 20 * time.Millisecond})
	m.Attempted(standard, &hook.Attempt{Number: 2, StatusCode: 503, Class: hook.ClassStatus, StartedAt: now.Add(time.Hour), Duration: 2 * time.Second})
	m.Attempted(standard, &hook.Attempt{Number: 1, Manual: true, Class: hook.ClassDNS, StartedAt: now})
	m.Attempted(job(hook.ProfileMomento, now), &hook.Attempt{Number: 1, Class: hook.ClassTimeout, StartedAt: now, Duration: 5 * time.Second})
	// By the publisher's clock the event is in the future. That counts as now.
	m.Attempted(job(hook.ProfileCommenda, now.Add(time.Hour)), &hook.Attempt{Number: 1, StatusCode: 404, Class: hook.ClassStatus, StartedAt: now})
	_, text := scrape(t, m, "/metrics")
	requireLines(t, text,
		`grapnel_events_first_attempts_total{by="process"} 2`, `grapnel_events_first_attempts_total{by="workflow"} 1`,
		"grapnel_attempts_in_flight 1", "grapnel_attempts_not_made_total 1",
		`grapnel_attempts_total{outcome="success",profile="standard"} 1`,
		`grapnel_attempts_total{outcome="http_5xx",profile="standard"} 1`,
		`grapnel_attempts_total{outcome="dns",profile="standard"} 1`,
		`grapnel_attempts_total{outcome="timeout",profile="momento"} 1`,
		`grapnel_attempts_total{outcome="http_4xx",profile="commenda"} 1`,
		`grapnel_attempts_total{outcome="blocked",profile="standard"} 0`, // a series exists before its first event
		`grapnel_attempts_duration_seconds_bucket{profile="standard",le="0.025"} 2`,
		`grapnel_attempts_duration_seconds_count{profile="standard"} 3`,
		`grapnel_deliveries_first_attempt_delay_seconds_bucket{profile="standard",le="0.05"} 1`,
		`grapnel_deliveries_first_attempt_delay_seconds_count{profile="standard"} 1`,
		`grapnel_deliveries_first_attempt_delay_seconds_sum{profile="commenda"} 0`,
	)
}

func TestAccepting(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Published(measure.Published{Accepted: 3, Duplicates: 1, Refused: 1, Deliveries: 30, Took: 3 * time.Millisecond})
	m.Published(measure.Published{Failed: 2, Took: time.Second})
	m.Grouped(measure.GroupPublish, 5, time.Millisecond, 2*time.Millisecond)
	m.Ended(hook.StateFailed, 2)
	m.Breaker(true)
	m.Started(measure.BySweeper, 12, nil)
	m.Started(measure.ByStarter, 1, errors.New("away"))
	m.Woken()
	m.WatchQueue(func() int { return 7 })
	_, text := scrape(t, m, "/metrics")
	requireLines(t, text,
		`grapnel_events_published_total{outcome="accepted"} 3`, `grapnel_events_published_total{outcome="duplicate"} 1`,
		`grapnel_events_published_total{outcome="refused"} 1`, `grapnel_events_published_total{outcome="failed"} 2`,
		"grapnel_deliveries_accepted_total 30",
		`grapnel_events_accept_duration_seconds_bucket{le="0.005"} 1`, "grapnel_events_accept_duration_seconds_count 2",
		`grapnel_group_rows_bucket{group="publish",le="8"} 1`, `grapnel_group_wait_seconds_bucket{group="publish",le="0.001"} 1`,
		`grapnel_group_duration_seconds_count{group="publish"} 1`,
		`grapnel_deliveries_ended_total{state="failed"} 2`, `grapnel_deliveries_ended_total{state="dropped"} 0`,
		`grapnel_breakers_changes_total{to="open"} 1`, `grapnel_breakers_changes_total{to="closed"} 0`,
		`grapnel_workflows_started_total{by="sweeper"} 1`, `grapnel_workflows_events_total{by="sweeper"} 12`,
		`grapnel_workflows_start_failures_total{by="starter"} 1`, `grapnel_workflows_started_total{by="starter"} 0`,
		"grapnel_workflows_hurried_total 1", "grapnel_workflows_queued_events 7",
	)
}

// The backlog is counted for a scrape, and not more often than every 10 s. While the store is unavailable the metrics
// are left out.
func TestBacklog(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	counted := 0
	m.WatchBacklog(slog.New(slog.DiscardHandler), func(ctx context.Context) (measure.BacklogStats, error) {
		counted++
		_, bounded := ctx.Deadline()
		require.True(t, bounded)
		return measure.BacklogStats{
			Due: []int{10, 20, 30, 40, 50, 60}, Deferred: []int{1, 2, 3, 4, 5, 6}, OldestDue: time.Hour, Unstarted: 8,
			OldestUnstarted: time.Minute, ReplaysRunning: 2, ReplaysPaused: 1, Breakers: 9, KeptDays: 3,
		}, nil
	})
	require.Zero(t, counted, "there was no scrape")
	for range 3 {
		_, text := scrape(t, m, "/metrics")
		requireLines(t, text,
			`grapnel_backlog_deliveries{due="later",queue="workflow"} 10`, `grapnel_backlog_deliveries{due="10s",queue="workflow"} 20`,
			`grapnel_backlog_deliveries{due="1m",queue="workflow"} 30`, `grapnel_backlog_deliveries{due="10m",queue="workflow"} 40`,
			`grapnel_backlog_deliveries{due="1h",queue="workflow"} 50`, `grapnel_backlog_deliveries{due="longer",queue="webhook"} 6`,
			"grapnel_backlog_oldest_due_seconds 3600", "grapnel_backlog_unstarted_events 8", "grapnel_backlog_oldest_unstarted_seconds 60",
			`grapnel_backlog_replays{state="running"} 2`, `grapnel_backlog_replays{state="paused"} 1`,
			"grapnel_backlog_open_breakers 9", "grapnel_retention_kept_days 3",
		)
	}
	require.Equal(t, 1, counted)

	failing := metrics.New()
	failing.WatchBacklog(slog.New(slog.DiscardHandler), func(context.Context) (measure.BacklogStats, error) { return measure.BacklogStats{}, errors.New("away") })
	status, text := scrape(t, failing, "/metrics")
	require.Equal(t, http.StatusOK, status)
	require.NotContains(t, text, "grapnel_backlog")
	require.Contains(t, text, "grapnel_attempts_in_flight")
}

func TestMemory(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	for i, budget := range []string{"jobs", "payloads"} {
		m.WatchMemory(budget, func() (used, size, waiting int64) { return int64(10 + i), 100, int64(i) })
	}
	_, text := scrape(t, m, "/metrics")
	requireLines(t, text,
		`grapnel_memory_used_bytes{budget="jobs"} 10`, `grapnel_memory_used_bytes{budget="payloads"} 11`,
		`grapnel_memory_budget_bytes{budget="payloads"} 100`, `grapnel_memory_waiting{budget="payloads"} 1`,
	)
}

// The SDK has several sets of labels for one name.
func TestTemporal(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	root := m.Temporal().WithTags(map[string]string{"namespace": "default", "task_queue": "none"})
	root.Counter("temporal_request").Inc(2)
	root.WithTags(map[string]string{"operation": "StartWorkflowExecution"}).Counter("temporal_request").Inc(1)
	root.WithTags(map[string]string{"operation": "StartWorkflowExecution"}).Counter("temporal_request").Inc(1)
	root.WithTags(map[string]string{"task_queue": "grapnel"}).Gauge("temporal_num_pollers").Update(4)
	root.Timer("temporal_request_latency").Record(20 * time.Millisecond)
	_, text := scrape(t, m, "/metrics")
	requireLines(t, text,
		`temporal_request_total{namespace="default",task_queue="none"} 2`,
		`temporal_request_total{namespace="default",operation="StartWorkflowExecution",task_queue="none"} 2`,
		`temporal_num_pollers{namespace="default",task_queue="grapnel"} 4`,
		`temporal_request_latency_seconds_bucket{namespace="default",task_queue="none",le="0.05"} 1`,
	)
	require.Equal(t, 1, strings.Count(text, "# TYPE temporal_request_total counter"))
}

// An attempt is counted without allocating.
func TestCountingAllocatesNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the allocations of all goroutines
	m := metrics.New()
	j, a := job(hook.ProfileStandard, time.Now()), &hook.Attempt{Number: 1, StatusCode: 200, StartedAt: time.Now()}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.Sending(1)
		m.Sending(-1)
		m.Attempted(j, a)
		m.Ended(hook.StateSuccess, 1)
		m.Grouped(measure.GroupRecord, 1, time.Millisecond, time.Millisecond)
		m.Published(measure.Published{Accepted: 1, Deliveries: 1, Took: time.Millisecond})
		m.Started(measure.ByStarter, 1, nil)
	}))
}

func BenchmarkAttempted(b *testing.B) {
	m := metrics.New()
	j, a := job(hook.ProfileStandard, time.Now()), &hook.Attempt{Number: 1, StatusCode: 200, StartedAt: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		m.Sending(1)
		m.Attempted(j, a)
		m.Sending(-1)
	}
}

// BenchmarkEvent makes every count of an event with one delivery.
func BenchmarkEvent(b *testing.B) {
	m := metrics.New()
	j, a := job(hook.ProfileStandard, time.Now()), &hook.Attempt{Number: 1, StatusCode: 200, StartedAt: time.Now()}
	b.ReportAllocs()
	for b.Loop() {
		m.Published(measure.Published{Accepted: 1, Deliveries: 1, Took: time.Millisecond})
		m.Grouped(measure.GroupPublish, 1, time.Millisecond, time.Millisecond)
		m.Started(measure.ByStarter, 1, nil)
		m.Sending(1)
		m.Attempted(j, a)
		m.Sending(-1)
		m.Grouped(measure.GroupRecord, 1, time.Millisecond, time.Millisecond)
		m.Ended(hook.StateSuccess, 1)
	}
}
