// Package tracing makes the spans of a request's way from its publish to the receiver,
// with OpenTelemetry's API alone: where they go is tracing/otlp's business. A nil
// Tracer makes none and costs nothing. Its invariant: a span holds ids, names of ours,
// hosts and statuses, and never a payload, a secret, a path of a receiver's, or a text
// that somebody else wrote.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"grapnel/internal/hook"
)

// Tracer makes spans; nil makes none.
type Tracer struct{ tracer trace.Tracer }

// New makes a Tracer of OpenTelemetry's.
func New(t trace.Tracer) *Tracer { return &Tracer{tracer: t} }

// Of is the place of the context's span, as it is stored; zero where there is none.
func Of(ctx context.Context) hook.Trace {
	c := trace.SpanContextFromContext(ctx)
	if !c.IsValid() {
		return hook.Trace{}
	}
	return hook.Trace{TraceID: c.TraceID(), SpanID: c.SpanID(), Flags: byte(c.TraceFlags())}
}

// ID is the trace that the context's span belongs to, in hexadecimal; "" if to none.
func ID(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.HasTraceID() {
		return ""
	}
	return c.TraceID().String()
}

// Parent is the context's span as a traceparent header says it; "" if there is none.
func Parent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier.Get("traceparent")
}

// spanContext is a stored place.
func spanContext(t hook.Trace) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: t.TraceID, SpanID: t.SpanID, TraceFlags: trace.TraceFlags(t.Flags), Remote: true,
	})
}

// at is a context whose span is the stored place.
func at(ctx context.Context, t hook.Trace) context.Context {
	return trace.ContextWithRemoteSpanContext(ctx, spanContext(t))
}

// Detached is a context without a span: what begins in it is a trace of its own.
func Detached(ctx context.Context) context.Context {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	return trace.ContextWithSpanContext(ctx, trace.SpanContext{})
}

// Starting is the context in which the workflow of accepted events is started: within
// the trace of their publish. Where they come of several, it begins one with a link to
// each. Call end when it is started.
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
