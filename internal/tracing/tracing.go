// Package tracing makes the spans of an event's way from its publish to the receiver. It uses OpenTelemetry's API
// only; package tracing/otlp sends the spans. A nil Tracer makes no spans and costs nothing. Its invariant: a span
// holds ids, Grapnel's own names, hosts and statuses, and never a payload, a secret, the path of a receiver's URL, or
// a text from outside.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"grapnel/internal/hook"
)

// Tracer makes spans; a nil Tracer makes none.
type Tracer struct{ tracer trace.Tracer }

// New returns a Tracer that uses t.
func New(t trace.Tracer) *Tracer { return &Tracer{tracer: t} }

// Of returns the context's span in its stored form; the zero value if there is no span.
func Of(ctx context.Context) hook.Trace {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return hook.Trace{}
	}
	return hook.Trace{TraceID: c.TraceID(), SpanID: c.SpanID(), Flags: byte(c.TraceFlags())}
}

// ID returns the trace id of the context's span, in hexadecimal; "" if there is no span.
func ID(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.HasTraceID() {
		return ""
	}
	return c.TraceID().String()
}

// Parent returns the context's span as the value of a traceparent header; "" if there is no span.
func Parent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// spanContext converts a stored span.
func spanContext(t hook.Trace) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.TraceID, SpanID: t.SpanID, TraceFlags: trace.TraceFlags(t.Flags), Remote: true,
	})
}

// at returns a context whose span is the stored one.
func at(ctx context.Context, t hook.Trace) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, spanContext(t))
}

// Detached returns a context without a span: a span that begins in it starts a new trace.
func Detached(ctx context.Context) context.Context {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
}

// Starting begins the span in which the workflow of accepted events is started, and returns its context. The span
// belongs to the trace of the events' publish. If the events come from several traces, it begins a new trace with a
// link to each. The caller calls end when the workflow is started.
func (t *Tracer) Starting(ctx context.Context, start *hook.Start) (_ context.Context, end func()) {
	switch {
	case t == nil:
	case !start.Trace.IsZero():
		return at(ctx, start.Trace), func() {}
	case len(start.Links) > 0:
		links := make([]trace.Link, 0, len(start.Links))
		for _, l := range start.Links {
			links = append(links, trace.Link{SpanContext: spanContext(l)})
		}
		ctx, span := t.tracer.Start(ctx, "start burst", trace.WithNewRoot(), trace.WithLinks(links...), trace.WithAttributes(
			attribute.Int("grapnel.events", len(start.Others)+1), attribute.Int("grapnel.deliveries", start.Deliveries)))
		return ctx, func() { span.End() }
	}
	return ctx, func() {}
}
