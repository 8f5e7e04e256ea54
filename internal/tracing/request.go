package tracing

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"grapnel/internal/hook"
)

// Attributes have the names of OpenTelemetry's semantic conventions for HTTP and messaging where these define one.
// url.full and url.path are left out on purpose: paths and queries of receivers, and of the API's topics, may hold
// secrets.

// Request begins the span of an API request. The span continues the caller's trace if traceparent names one. The
// caller passes the status of the response to end.
func (t *Tracer) Request(ctx context.Context, traceparent, method, route, operation string) (_ context.Context, end func(status int)) {
	if t == nil {
		return ctx, func(int) {}
	}
	if traceparent != "" {
		ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
	}
	ctx, span := t.tracer.Start(ctx, method+" "+route, trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(
		attribute.String("http.request.method", method), attribute.String("http.route", route), attribute.String("grapnel.operation", operation)))
	return ctx, func(status int) {
		span.SetAttributes(attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Publish begins the span of storing n events. The caller passes the result to end.
func (t *Tracer) Publish(ctx context.Context, n int) (_ context.Context, end func(accepted []hook.Accepted, failed int)) {
	if t == nil {
		return ctx, func([]hook.Accepted, int) {}
	}
	ctx, span := t.tracer.Start(ctx, "publish", trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		attribute.String("messaging.system", "grapnel"), attribute.String("messaging.operation.name", "publish"),
		attribute.String("messaging.operation.type", "send")))
	if n > 1 {
		span.SetAttributes(attribute.Int("messaging.batch.message_count", n))
	}
	return ctx, func(accepted []hook.Accepted, failed int) {
		deliveries := 0
		for i := range accepted {
			deliveries += accepted[i].Event.Deliveries
		}
		if n == 1 && failed == 0 {
			e := &accepted[0].Event
			span.SetAttributes(
				attribute.String("messaging.message.id", e.ID.String()), attribute.String("messaging.destination.name", e.Type),
				attribute.String("grapnel.tenant_id", e.TenantID.String()), attribute.Bool("grapnel.duplicate", accepted[0].Duplicate))
		}
		span.SetAttributes(attribute.Int("grapnel.deliveries", deliveries))
		if failed > 0 {
			span.SetAttributes(attribute.Int("grapnel.failed", failed))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// Attempt begins the span of a request to a receiver. An automatic attempt belongs to the trace of the event's
// publish, with a link to the activity, which may send events of several traces. A manual attempt belongs to the
// trace of the API request that caused it, with a link to the publish. The caller passes the result to end.
func (t *Tracer) Attempt(ctx context.Context, job *hook.Job, byHand bool) (_ context.Context, end func(sent *hook.Attempt, err error)) {
	if t == nil {
		return ctx, func(*hook.Attempt, error) {}
	}
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attemptAttributes(job)...)}
	if here, published := trace.SpanContextFromContext(ctx), job.Event.Trace; !published.IsZero() && here.TraceID() != trace.TraceID(published.TraceID) {
		other := here
		if byHand && here.IsValid() {
			other = spanContext(published)
		} else {
			ctx = at(ctx, published)
		}
		if other.IsValid() {
			options = append(options, trace.WithLinks(trace.Link{SpanContext: other}))
		}
	}
	ctx, span := t.tracer.Start(ctx, http.MethodPost, options...)
	return ctx, func(sent *hook.Attempt, err error) { endAttempt(span, sent, err) }
}

func attemptAttributes(job *hook.Job) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("http.request.method", http.MethodPost),
		attribute.Int("http.request.resend_count", job.Delivery.Attempts),
		attribute.String("messaging.system", "grapnel"), attribute.String("messaging.message.id", job.Event.ID.String()),
		attribute.String("messaging.destination.name", job.Event.Type),
		attribute.String("grapnel.delivery_id", job.Delivery.ID.String()), attribute.String("grapnel.webhook_id", job.Delivery.WebhookID.String()),
		attribute.String("grapnel.tenant_id", job.Event.TenantID.String()), attribute.String("grapnel.profile", string(job.Webhook.Profile)),
	}
	if u, err := url.Parse(job.Webhook.URL); err == nil {
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)]
		}
		list = append(list, attribute.String("url.scheme", u.Scheme), attribute.String("server.address", u.Hostname()), attribute.String("server.port", port))
	}
	return list
}

func endAttempt(span trace.Span, sent *hook.Attempt, err error) {
	defer span.End()
	if err != nil {
		span.SetAttributes(attribute.String("error.type", "not_sent"))
		span.SetStatus(codes.Error, "not sent, for a reason of ours")
		return
	}
	outcome := string(sent.Outcome())
	span.SetAttributes(
		attribute.String("grapnel.outcome", outcome), attribute.Float64("grapnel.dns_seconds", sent.Timings.DNS.Seconds()),
		attribute.Float64("grapnel.connect_seconds", sent.Timings.Connect.Seconds()), attribute.Float64("grapnel.tls_seconds", sent.Timings.TLS.Seconds()),
		attribute.Float64("grapnel.first_byte_seconds", sent.Timings.FirstByte.Seconds()))
	if sent.RemoteAddr != "" {
		span.SetAttributes(attribute.String("network.peer.address", sent.RemoteAddr))
	}
	if sent.StatusCode != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", sent.StatusCode))
	}
	if !sent.Succeeded() {
		span.SetAttributes(attribute.String("error.type", outcome))
		span.SetStatus(codes.Error, "")
	}
}
