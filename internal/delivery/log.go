package delivery

import (
	"context"
	"log/slog"
	"time"

	"grapnel/internal/hook"
	"grapnel/internal/tracing"
)

// logAttempt writes one log line for an attempt, with everything that is known of it except
// parts that may hold secrets: bodies, headers, and the path and query of the URL.
func (e *Engine) logAttempt(ctx context.Context, job *hook.Job, sent *hook.Attempt, v hook.Verdict) {
	if !e.log.Enabled(ctx, slog.LevelInfo) {
		return
	}
	// One array that holds them all: appending would make several.
	attrs := append(make([]slog.Attr, 0, 26),
		slog.String("event_id", job.Event.ID.String()), slog.String("delivery_id", job.Delivery.ID.String()),
		slog.String("webhook_id", job.Webhook.ID.String()), slog.String("tenant_id", job.Event.TenantID.String()),
		slog.String("event_type", job.Event.Type), slog.String("profile", string(job.Webhook.Profile)),
		slog.Int("attempt", sent.Number), slog.Bool("manual", sent.Manual), slog.Bool("test", job.Delivery.Test),
		slog.String("host", job.Webhook.Host()), slog.String("remote_addr", sent.RemoteAddr),
		slog.String("outcome", string(sent.Outcome())), slog.Int("status_code", sent.StatusCode),
		slog.Float64("duration_ms", milliseconds(sent.Duration)), slog.Float64("dns_ms", milliseconds(sent.Timings.DNS)),
		slog.Float64("connect_ms", milliseconds(sent.Timings.Connect)), slog.Float64("tls_ms", milliseconds(sent.Timings.TLS)),
		slog.Float64("first_byte_ms", milliseconds(sent.Timings.FirstByte)),
		slog.Float64("age_ms", milliseconds(sent.StartedAt.Sub(job.Event.CreatedAt))), slog.String("state", string(v.State)),
	)
	if !sent.Succeeded() {
		attrs = append(attrs, slog.String("error_class", string(sent.Class)), slog.String("error", sent.Error))
	}
	if v.Retry {
		attrs = append(attrs, slog.Time("next_attempt_at", sent.StartedAt.Add(sent.Duration+v.RetryIn).UTC()))
	} else if sent.Manual && job.Delivery.NextAttemptAt != nil {
		attrs = append(attrs, slog.Time("next_attempt_at", job.Delivery.NextAttemptAt.UTC()))
	}
	if v.Disable != "" {
		attrs = append(attrs, slog.String("disables", v.Disable))
	}
	if id := tracing.ID(ctx); id != "" {
		attrs = append(attrs, slog.String("trace_id", id))
	}
	e.log.LogAttrs(ctx, slog.LevelInfo, "attempt", attrs...)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
