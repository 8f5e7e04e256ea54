// Package otlp sends spans to an OpenTelemetry collector, configured by OpenTelemetry's standard environment
// variables. It sends nothing if they name no endpoint. It is the only package that links exporters.
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

// name is the instrumentation scope of Grapnel's spans.
const name = "grapnel"

// Provider makes spans and sends them. A nil Provider does neither.
type Provider struct{ sdk *sdktrace.TracerProvider }

// Open reads OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_PROTOCOL, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and the
// other variables of OpenTelemetry's specification. It returns nil without an endpoint, with OTEL_SDK_DISABLED=true
// and with OTEL_TRACES_EXPORTER=none. It does not connect.
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
	// The SDK reads the sampler and the bounds of batches from the environment.
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

// tellEvery is the least interval between logged failures to send spans, so that an unreachable collector does not
// fill the log.
const tellEvery = time.Minute

// tellErrors logs errors that the SDK cannot return to a caller. The SDK has one global handler for them.
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

// Tracer returns the Tracer of Grapnel's own spans; nil for a nil Provider.
func (p *Provider) Tracer() *tracing.Tracer {
	if p == nil {
		return nil
	}
	return tracing.New(p.sdk.Tracer(name))
}

// Temporal returns the interceptors that make the spans of workflows and activities and carry them in Temporal's
// headers; none for a nil Provider.
func (p *Provider) Temporal() ([]interceptor.ClientInterceptor, error) {
	if p == nil {
		return nil, nil
	}
	i, err := opentelemetry.NewTracingInterceptor(opentelemetry.TracerOptions{
		Tracer: p.sdk.Tracer("temporal-sdk-go"), TextMapPropagator: propagation.TraceContext{}, DisableBaggage: true,
		// An invalid value that another program wrote into a header must not fail a workflow.
		AllowInvalidParentSpans: true,
	})
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return []interceptor.ClientInterceptor{i}, nil
}

// Close sends the remaining spans, until ctx ends.
func (p *Provider) Close(ctx context.Context) error {
	if p == nil {
		return nil
	}
	if err := p.sdk.Shutdown(ctx); err != nil {
		return fmt.Errorf("traces: %w", err)
	}
	return nil
}
