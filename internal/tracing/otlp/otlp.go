// Package otlp sends spans to an OpenTelemetry collector, as OpenTelemetry's standard
// environment variables say, and to nowhere where they name none. It is the one package
// that is linked with exporters.
package otlp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"grapnel/internal/tracing"
)

// name is the instrumentation scope of our spans.
const name = "grapnel"

// Provider makes spans and sends them; nil does not.
type Provider struct{ sdk *sdktrace.TracerProvider }

// Open reads OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_TRACES_SAMPLER,
// OTEL_SERVICE_NAME and the like, which OpenTelemetry's specification lists. It is nil
// without an endpoint, with OTEL_SDK_DISABLED=true and with OTEL_TRACES_EXPORTER=none. It
// does not connect.
func Open(ctx context.Context, version string, logger *slog.Logger) (*Provider, error) {
	if off, err := isOff(); off || err != nil {
		return nil, err
	}
	client, err := newClient()
	if err != nil {
		return nil, err
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(attribute.String("service.name", name), attribute.String("service.version", version)), resource.WithFromEnv())
	if err != nil && !errors.Is(err, resource.ErrPartialResource) {
		return nil, fmt.Errorf("traces: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	tellErrors(logger)
	// The sampler and the bounds of batches are read from the environment by the SDK.
	return &Provider{sdk: sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described))}, nil
}

func isOff() (bool, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return true, nil
	}
	switch exporter := os.Getenv("OTEL_TRACES_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return true, nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER=%s: want otlp or none", exporter)
	}
	return firstSet("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT") == "", nil
}

func newClient() (otlptrace.Client, error) {
	switch protocol := firstSet("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"); protocol {
	case "", "http/protobuf":
		return otlptracehttp.NewClient(), nil
	case "grpc":
		return otlptracegrpc.NewClient(), nil
	default:
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL=%s: want http/protobuf or grpc", protocol)
	}
}

func firstSet(names ...string) string {
	for _, n := range names {
		if v := os.Getenv(n); v != "" {
			return v
		}
	}
	return ""
}

// tellEvery is how often a failure to send spans is logged: a collector that is away
// must not fill the log.
const tellEvery = time.Minute

// tellErrors logs what the SDK can't return to anybody. The SDK has one place for it.
func tellErrors(logger *slog.Logger) {
	var mu sync.Mutex
	var told time.Time
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(told) >= tellEvery {
			told = time.Now()
			logger.Warn("traces", slog.Any("error", err))
		}
	}))
}

// Tracer makes our spans; nil for a nil Provider.
func (p *Provider) Tracer() *tracing.Tracer {
	if p == nil {
		return nil
	}
	return tracing.New(p.sdk.Tracer(name))
}

// Temporal makes the spans of workflows and activities, and carries them along in
// Temporal's headers; none for a nil Provider.
func (p *Provider) Temporal() ([]interceptor.ClientInterceptor, error) {
	if p == nil {
		return nil, nil
	}
	i, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: p.sdk.Tracer("temporal-sdk-go"), TextMapPropagator: propagation.TraceContext{}, DisableBaggage: true,
		// What somebody else has written into a header must not keep a workflow from running.
		AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return []interceptor.ClientInterceptor{i}, nil
}

// Close sends what is left, as long as ctx allows.
func (p *Provider) Close(ctx context.Context) error {
	if p == nil {
		return nil
	}
	if err := p.sdk.Shutdown(ctx); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	return nil
}
