// Package errlog logs the error of a task that is repeated. An outage makes the task fail with the same error again and
// again, and must not fill the log. The package is a leaf and imports only the standard library.
package errlog

import (
	"context"
	"log/slog"
)

// ChangeLogger logs an error only when its text differs from that of the error before it. It is for one goroutine.
type ChangeLogger struct {
	logger *slog.Logger
	last   string
}

// New returns a ChangeLogger that has logged nothing yet.
func New(logger *slog.Logger) *ChangeLogger { return &ChangeLogger{logger: logger} }

// Log takes the result of one run of the task. It logs err as a warning with the given message, unless err is the same
// as last time, or the task failed because ctx has ended. After a nil error the next error is logged in any case.
func (c *ChangeLogger) Log(ctx context.Context, message string, err error) {
	switch {
	case err == nil:
		c.last = ""
	case ctx.Err() == nil && err.Error() != c.last:
		c.last = err.Error()
		c.logger.WarnContext(ctx, message, slog.Any("error", err))
	}
}
