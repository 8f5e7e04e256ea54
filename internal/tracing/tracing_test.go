package tracing_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	"grapnel/internal/hook"
	"grapnel/internal/tracing"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func setup(t *testing.T) (*tracing.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	p := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	return tracing.New(p.Tracer("test")), spans
}

// attributes returns the attributes of a span as text.
func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	found := map[string]string{}
	for _, a := range s.Attributes() {
		found[string(a.Key)] = a.Value.String()
	}
	return found
}

func job(published hook.Trace) *hook.Job {
	return &hook.Job{
		Event:    hook.Event{ID: hook.EventID{1}, TenantID: hook.DefaultTenant(), Type: "user.created", Data: []byte(`{"secret":"payload"}`), Trace: published},
		Delivery: hook.Delivery{ID: hook.DeliveryID{2}, WebhookID: hook.WebhookID{3}, Attempts: 1},
		Webhook:  &hook.Webhook{Profile: hook.ProfileStandard, URL: "https://a.example/secret/path?secret=query", Secret: "secret-key"},
	}
}

// One trace leads from the publisher's own span to the request to the receiver, whichever way the event takes between
// them.
func TestOneTrace(t *testing.T) {
	t.Parallel()
	tracer, spans := setup(t)
	ctx, answered := tracer.Request(t.Context(), traceparent, "POST", "/v1/events", "publish-event")
	within, published := tracer.Publish(ctx, 1)
	stored := hook.TraceOf(tracing.Of(within).Bytes()) // the part that the store keeps
	published([]hook.Accepted{{Event: hook.Event{ID: hook.EventID{1}, Type: "user.created", Deliveries: 2}}}, 0)
	answered(202)

	start, end := tracer.Starting(t.Context(), &hook.Start{Trace: stored})
	end()
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", tracing.ID(start))
	sending, ended := tracer.Attempt(start, job(stored), false)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", tracing.ID(sending))
	require.True(t, strings.HasPrefix(tracing.Parent(sending), "00-0af7651916cd43dd8448eb211c80319c-"))
	ended(&hook.Attempt{StatusCode: 503, Class: hook.ClassStatus, Error: "HTTP 503", RemoteAddr: "203.0.113.7:443", Timings: hook.Timings{FirstByte: time.Second}}, nil)

	list := spans.Ended()
	require.Len(t, list, 3)
	publish, request, attempt := list[0], list[1], list[2]
	require.Equal(t, "b7ad6b7169203331", request.Parent().SpanID().String())
	require.Equal(t, request.SpanContext().SpanID(), publish.Parent().SpanID())
	require.Equal(t, publish.SpanContext().SpanID(), attempt.Parent().SpanID())
	require.Equal(t, "POST /v1/events", request.Name())
	require.Equal(t, trace.SpanKindServer, request.SpanKind())
	require.Equal(t, trace.SpanKindProducer, publish.SpanKind())
	require.Equal(t, trace.SpanKindClient, attempt.SpanKind())
	require.Equal(t, codes.Error, attempt.Status().Code)
	got := attributes(attempt)
	for name, want := range map[string]string{
		"http.request.method": "POST", "server.address": "a.example", "server.port": "443", "url.scheme": "https", "http.response.status_code": "503",
		"error.type": "http_5xx", "http.request.resend_count": "1", "grapnel.delivery_id": hook.DeliveryID{2}.String(),
		"messaging.message.id": hook.EventID{1}.String(), "network.peer.address": "203.0.113.7:443", "grapnel.first_byte_seconds": "1",
	} {
		require.Equal(t, want, got[name], name)
	}
	require.Equal(t, "2", attributes(publish)["grapnel.deliveries"])
	for _, s := range list {
		for name, value := range attributes(s) {
			require.NotContains(t, value, "secret", name)
		}
	}
}

// An activity may send several events: each request belongs to the trace of its own event, with a link to the
// activity. A manual attempt belongs to the trace of the API request that caused it.
func TestTracesThatMeet(t *testing.T) {
	t.Parallel()
	tracer, spans := setup(t)
	mine, theirs := hook.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{1}, Flags: 1}, hook.Trace{TraceID: [16]byte{2}, SpanID: [8]byte{2}, Flags: 1}
	burst, end := tracer.Starting(t.Context(), &hook.Start{Links: []hook.Trace{mine, theirs}, Others: make([]hook.EventID, 1)})
	end()
	root := spans.Ended()[0]
	require.Len(t, root.Links(), 2)
	require.False(t, root.Parent().IsValid())

	_, ended := tracer.Attempt(burst, job(theirs), false)
	ended(nil, errors.New("no sockets"))
	s := spans.Ended()[1]
	require.Equal(t, trace.TraceID(theirs.TraceID), s.SpanContext().TraceID())
	require.Equal(t, root.SpanContext().SpanID(), s.Links()[0].SpanContext.SpanID())
	require.Equal(t, "not_sent", attributes(s)["error.type"])

	_, ended = tracer.Attempt(burst, job(theirs), true)
	ended(&hook.Attempt{StatusCode: 200}, nil)
	s = spans.Ended()[2]
	require.Equal(t, root.SpanContext().TraceID(), s.SpanContext().TraceID())
	require.Equal(t, trace.TraceID(theirs.TraceID), s.Links()[0].SpanContext.TraceID())
	require.Equal(t, codes.Unset, s.Status().Code)

	require.Empty(t, tracing.ID(tracing.Detached(burst)))
}

// Without tracing, nothing is made: no span, no context, no allocation.
func TestNoTracer(t *testing.T) { //nolint:paralleltest // AllocsPerRun counts the allocations of the whole process
	var none *tracing.Tracer
	ctx, j, start := t.Context(), job(hook.Trace{TraceID: [16]byte{1}, SpanID: [8]byte{1}}), &hook.Start{}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		request, answered := none.Request(ctx, traceparent, "POST", "/v1/events", "publish-event")
		publish, published := none.Publish(request, 1)
		published(nil, 0)
		answered(202)
		starting, end := none.Starting(publish, start)
		end()
		sending, ended := none.Attempt(starting, j, false)
		ended(nil, nil)
		if sending != ctx || !tracing.Of(sending).IsZero() || tracing.ID(sending) != "" || tracing.Of(sending).Bytes() != nil {
			panic("something was made")
		}
	}))
	require.Empty(t, tracing.Parent(ctx))
	require.Equal(t, ctx, tracing.Detached(ctx))
}

func TestTracesAsStored(t *testing.T) {
	t.Parallel()
	want := hook.Trace{TraceID: [16]byte{1, 15: 9}, SpanID: [8]byte{2, 7: 8}, Flags: 1}
	require.Equal(t, want, hook.TraceOf(want.Bytes()))
	require.Zero(t, hook.TraceOf(nil))
	require.Zero(t, hook.TraceOf([]byte("too short")))
}
