package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"grapnel/internal/metrics"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func scrape(t *testing.T, m *metrics.Metrics, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestRequests(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.Request("get-event", 200, 20*time.Millisecond)
	m.Request("get-event", 200, 30*time.Second)
	m.Request("get-event", 404, time.Millisecond)
	status, text := scrape(t, m, "/metrics")
	require.Equal(t, http.StatusOK, status)
	for _, line := range []string{
		`grapnel_http_requests_total{operation="get-event",status="200"} 2`,
		`grapnel_http_requests_total{operation="get-event",status="404"} 1`,
		`grapnel_http_request_duration_seconds_count{operation="get-event"} 3`,
		`grapnel_http_request_duration_seconds_bucket{operation="get-event",le="0.025"} 2`,
		`grapnel_http_request_duration_seconds_bucket{operation="get-event",le="30"} 3`,
		"go_goroutines ", "process_start_time_seconds ",
	} {
		require.Contains(t, text, "\n"+line)
	}
	status, _ = scrape(t, m, "/")
	require.Equal(t, http.StatusNotFound, status)
}

// Two processes in one test do not share metrics.
func TestMetricsAreSeparate(t *testing.T) {
	t.Parallel()
	one, two := metrics.New(), metrics.New()
	one.Request("get-event", 200, time.Second)
	_, text := scrape(t, two, "/metrics")
	require.NotContains(t, text, "get-event")
}

type pool struct{}

func (pool) AcquiredConns() int32           { return 1 }
func (pool) IdleConns() int32               { return 2 }
func (pool) TotalConns() int32              { return 3 }
func (pool) MaxConns() int32                { return 4 }
func (pool) AcquireCount() int64            { return 5 }
func (pool) EmptyAcquireCount() int64       { return 6 }
func (pool) CanceledAcquireCount() int64    { return 7 }
func (pool) AcquireDuration() time.Duration { return 8 * time.Second }
func (pool) NewConnsCount() int64           { return 9 }

func TestPool(t *testing.T) {
	t.Parallel()
	m := metrics.New()
	m.WatchPool(func() metrics.PoolStat { return pool{} })
	_, text := scrape(t, m, "/metrics")
	for _, line := range []string{
		"acquired_connections 1", "idle_connections 2", "connections 3", "max_connections 4", "acquires_total 5",
		"acquire_waits_total 6", "acquire_cancels_total 7", "acquire_seconds_total 8", "opened_connections_total 9",
	} {
		require.Contains(t, text, "\ngrapnel_db_pool_"+line+"\n")
	}
}
