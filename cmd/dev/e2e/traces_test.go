package e2e

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector is an OpenTelemetry collector that keeps the spans it receives.
type collector struct {
	url string
	mu  sync.Mutex
	// spans are the received spans by trace id, in hexadecimal.
	spans map[string][]*tracepb.Span
	all   bytes.Buffer
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{spans: map[string][]*tracepb.Span{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// ServeHTTP implements http.Handler.
func (c *collector) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	var request collectorpb.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err != nil || proto.Unmarshal(body, &request) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all.Write(body)
	for _, resource := range request.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				id := hex.EncodeToString(s.GetTraceId())
				c.spans[id] = append(c.spans[id], s)
			}
		}
	}
}

// trace returns the spans received so far of a trace, by name.
func (c *collector) trace(id string) map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	named := map[string]*tracepb.Span{}
	for _, s := range c.spans[id] {
		named[s.GetName()] = s
	}
	return named
}

func (c *collector) received() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.String()
}

// One trace leads from the publisher's span through the API, the workflow and the activity, in separate processes,
// to the receiver's span; a later retry is in the same trace.
func TestOneTraceFromPublishToReceiver(t *testing.T) {
	t.Parallel()
	spans := newCollector(t)
	flags, err := freeFlags(t.Context())
	require.NoError(t, err)
	dir := t.TempDir()
	// The retry is late enough that the first attempts' run does not make it, on a busy machine either.
	const schedule = "--retry-schedule=3s,3s,3s,3s"
	s, err := launchWith(t.Context(), []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + spans.url, "OTEL_BSP_SCHEDULE_DELAY=200"}, dir,
		append(flags, "--processes=split", "--no-receiver", "--metrics-addr=", schedule, "--max-events-per-workflow=1")...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.stop()) })
	c := clientOf(t, s)

	wants, plain := newRecorder(t, status(500), status(200)), newRecorder(t)
	hook, eventType := c.webhook(wants.URL+"/path-that-is-secret?token=query-that-is-secret", object{"trace_context": true})
	other := c.do(http.MethodPost, "/v1/webhooks", object{"url": plain.URL, "events": []string{eventType}}, http.StatusCreated)["id"].(string)

	const trace, publisher = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	body, err := json.Marshal(object{"type": eventType, "data": object{"payload": "payload-that-is-secret"}})
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url+"/v1/events", bytes.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+c.key)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", "00-"+trace+"-"+publisher+"-01")
	response, err := c.transport.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusAccepted, response.StatusCode)

	require.Equal(t, "success", c.settled(hook)["status"])
	require.Equal(t, "success", c.settled(other)["status"])
	for _, request := range wants.requests() {
		parts := strings.Split(request.Header.Get("Traceparent"), "-")
		require.Len(t, parts, 4)
		require.Equal(t, trace, parts[1])
		require.Equal(t, "01", parts[3])
	}
	require.Len(t, wants.requests(), 2)
	require.NotEqual(t, wants.requests()[0].Header.Get("Traceparent"), wants.requests()[1].Header.Get("Traceparent"), "each request is a span")
	require.Empty(t, plain.requests()[0].Header.Get("Traceparent"), "it was not asked for")

	chain := []string{"POST /v1/events", "publish", "StartWorkflow:Deliver", "RunWorkflow:Deliver", "StartActivity:Deliver", "RunActivity:Deliver", "POST"}
	waitFor(t, "the spans, each within the one before", func() bool {
		named, parent := spans.trace(trace), publisher
		for _, name := range chain {
			if named[name] == nil || hex.EncodeToString(named[name].GetParentSpanId()) != parent {
				return false
			}
			parent = hex.EncodeToString(named[name].GetSpanId())
		}
		return true
	})
	log := logs(t, dir)["worker.log"]
	require.Contains(t, log, `"trace_id":"`+trace+`"`)
	require.NotContains(t, spans.received(), "that-is-secret")
	require.NotContains(t, log, "that-is-secret")
}
