package otlp_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"grapnel/internal/tracing/otlp"
)

func open(t *testing.T, environment map[string]string) (*otlp.Provider, error) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_SERVICE_NAME", "OTEL_TRACES_SAMPLER",
	} {
		t.Setenv(name, environment[name])
	}
	p, err := otlp.Open(t.Context(), "1.2.3", slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		_ = p.Close(ctx) // no collector takes its spans
	})
	return p, err
}

// Without an endpoint there is no provider, and tracing costs nothing.
func TestOff(t *testing.T) { //nolint:paralleltest // the environment belongs to the whole process
	const endpoint = "http://127.0.0.1:1"
	for _, environment := range []map[string]string{
		{},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_SDK_DISABLED": "true"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_TRACES_EXPORTER": "none"},
	} {
		p, err := open(t, environment)
		require.NoError(t, err)
		require.Nil(t, p)
		require.Nil(t, p.Tracer())
		interceptors, err := p.Temporal()
		require.NoError(t, err)
		require.Empty(t, interceptors)
	}
}

func TestWrongSettings(t *testing.T) { //nolint:paralleltest // the environment belongs to the whole process
	const endpoint = "http://127.0.0.1:1"
	for name, environment := range map[string]map[string]string{
		"OTEL_TRACES_EXPORTER=zipkin":           {"OTEL_TRACES_EXPORTER": "zipkin"},
		"OTEL_EXPORTER_OTLP_PROTOCOL=http/json": {"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"},
	} {
		_, err := open(t, environment)
		require.ErrorContains(t, err, name)
	}
	for _, protocol := range []string{"grpc", "http/protobuf", ""} {
		p, err := open(t, map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol})
		require.NoError(t, err)
		require.NotNil(t, p)
	}
}

// The collector receives the spans with their attributes, and the sampler decides which spans are sent.
func TestExport(t *testing.T) { //nolint:paralleltest // the environment belongs to the whole process
	for sampler, spans := range map[string]int{"": 1, "always_off": 0} {
		got := make(chan *collector.ExportTraceServiceRequest, 10)
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			var request collector.ExportTraceServiceRequest
			if r.URL.Path == "/v1/traces" && proto.Unmarshal(body, &request) == nil {
				got <- &request
			}
		}))
		p, err := open(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": server.URL, "OTEL_SERVICE_NAME": "hooks", "OTEL_TRACES_SAMPLER": sampler})
		require.NoError(t, err)
		_, end := p.Tracer().Request(t.Context(), "", "GET", "/v1/events", "list-events")
		end(200)
		require.NoError(t, p.Close(t.Context()))
		server.Close()
		require.Len(t, got, spans, sampler)
		if spans == 0 {
			continue
		}
		resource := (<-got).GetResourceSpans()[0]
		named := map[string]string{}
		for _, a := range resource.GetResource().GetAttributes() {
			named[a.GetKey()] = a.GetValue().GetStringValue()
		}
		require.Equal(t, "hooks", named["service.name"])
		require.Equal(t, "1.2.3", named["service.version"])
		require.Equal(t, "GET /v1/events", resource.GetScopeSpans()[0].GetSpans()[0].GetName())
	}
}
