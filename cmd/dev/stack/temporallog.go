package stack

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"

	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// temporalLogger passes the Temporal server's log to an slog.Logger. The server logs without a context. It makes a logger
// with tags for each task and logs nearly nothing with them, so tags are turned into attributes only when a line is logged.
type temporalLogger struct {
	slog *slog.Logger
	tags []tag.Tag
}

var (
	_ log.Logger     = (*temporalLogger)(nil)
	_ log.WithLogger = (*temporalLogger)(nil)
)

// With implements log.WithLogger.
func (l *temporalLogger) With(tags ...tag.Tag) log.Logger {
	return &temporalLogger{slog: l.slog, tags: slices.Concat(l.tags, tags)}
}

// SLog implements log.SLogWrapper, so that the server does not wrap this logger.
func (l *temporalLogger) SLog() *slog.Logger {
	return slog.New(l.slog.Handler().WithAttrs(attrs(l.tags)))
}

// Debug implements log.Logger.
func (l *temporalLogger) Debug(msg string, tags ...tag.Tag) { l.log(slog.LevelDebug, msg, tags) }

// Info implements log.Logger.
func (l *temporalLogger) Info(msg string, tags ...tag.Tag) { l.log(slog.LevelInfo, msg, tags) }

// Warn implements log.Logger.
func (l *temporalLogger) Warn(msg string, tags ...tag.Tag) { l.log(slog.LevelWarn, msg, tags) }

// Error implements log.Logger.
func (l *temporalLogger) Error(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

// DPanic implements log.Logger. Like the server's own logger it panics in development only, and the server does not
// run in that mode here.
func (l *temporalLogger) DPanic(msg string, tags ...tag.Tag) { l.log(slog.LevelError, msg, tags) }

// Panic implements log.Logger.
func (l *temporalLogger) Panic(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	panic(msg)
}

// Fatal implements log.Logger. The server relies on Fatal not to return.
func (l *temporalLogger) Fatal(msg string, tags ...tag.Tag) {
	l.log(slog.LevelError, msg, tags)
	fmt.Fprintln(os.Stderr, "the Temporal server gave up:", msg, attrs(tags))
	os.Exit(1)
}

func (l *temporalLogger) log(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if l.slog.Enabled(ctx, level) {
		l.slog.LogAttrs(ctx, level, msg, append(attrs(l.tags), attrs(tags)...)...)
	}
}

func attrs(tags []tag.Tag) []slog.Attr {
	out := make([]slog.Attr, len(tags))
	for i, t := range tags {
		out[i] = slog.Any(t.Key(), t.Value())
	}
	return out
}
