// Package maintenance keeps the store in order: it makes and drops partitions, deletes what has expired, and cancels
// the outstanding deliveries of webhooks that were disabled or deleted. Every process runs it, and the store sees to it
// that processes do not disturb each other. Nothing here needs Temporal. Each job has its own file.
package maintenance

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"grapnel/internal/errlog"
)

// Store lists the methods of the store that the jobs use.
type Store interface {
	Partitions
	IdempotencyKeys
	Processes
	Secrets
	Tests
	Replays
	Cancellations
	AuditLog
	Usage
	PortalSessions
}

// Config is the configuration of New. Store and Logger are required.
type Config struct {
	Store  Store
	Logger *slog.Logger
	// Retention is how long events and their deliveries are kept; 0 keeps them for ever.
	Retention time.Duration
	// AuditRetention is how long the entries of the audit log are kept; 0 keeps them for ever.
	AuditRetention time.Duration
	// UsageRetention is how long the counts of usage are kept; 0 keeps them for ever.
	UsageRetention time.Duration
	// CancelEvery is how often deliveries are canceled; default 2 s.
	CancelEvery time.Duration
}

// Maintenance runs the jobs. Run it once.
type Maintenance struct{ config Config }

const (
	defaultCancelEvery = 2 * time.Second
	// roundEvery is the time between two rounds of the slow jobs.
	roundEvery = 10 * time.Minute
	// retryRoundAfter is the same after a round in which a job failed. If no process ran for some days, today's
	// partition has to exist before much is stored outside of it.
	retryRoundAfter = time.Minute
	// foldEvery is how often usage and statistics are summed up. Together with changesKept it is how late statistics are.
	foldEvery = 8 * time.Second
	// changesKept is how long rows stay where processes look for changes. It is longer than the time between two looks
	// (internal/changes).
	changesKept = 4 * time.Second
)

// New checks the configuration and sets defaults. It starts nothing.
func New(c Config) (*Maintenance, error) {
	if c.Store == nil || c.Logger == nil {
		return nil, errors.New("maintenance: store and logger are required")
	}
	if c.Retention < 0 || c.AuditRetention < 0 || c.UsageRetention < 0 || c.CancelEvery < 0 {
		return nil, errors.New("maintenance: retentions and interval must not be negative")
	}
	if c.CancelEvery == 0 {
		c.CancelEvery = defaultCancelEvery
	}
	return &Maintenance{config: c}, nil
}

// Run does a round of the slow jobs at once and every ten minutes, and in between cancels deliveries and sums up usage,
// until ctx ends.
func (m *Maintenance) Run(ctx context.Context) error {
	cancelErrors, foldErrors := errlog.New(m.config.Logger), errlog.New(m.config.Logger)
	round, cancels, folds := time.NewTimer(m.round(ctx)), time.NewTimer(m.config.CancelEvery), time.NewTimer(foldEvery)
	defer round.Stop()
	defer cancels.Stop()
	defer folds.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-round.C:
			round.Reset(m.round(ctx))
		case <-cancels.C:
			cancelErrors.Log(ctx, "cancel outstanding deliveries", m.cancelDeliveries(ctx))
			cancels.Reset(m.config.CancelEvery)
		case <-folds.C:
			foldErrors.Log(ctx, "sum up usage", m.foldUsage(ctx))
			folds.Reset(foldEvery)
		}
	}
}

// round runs the slow jobs and returns the time until the next round. A job that fails stops none of the others.
func (m *Maintenance) round(ctx context.Context) time.Duration {
	jobs := []func(context.Context) error{
		m.makePartitions,
		m.purgeIdempotencyKeys,
		m.purgeProcesses,
		m.purgeSecrets,
		m.purgeSessions,
		// Before partitions are dropped: a test that no client waits for must not outlive its day.
		m.cancelStaleTests,
		m.dropPartitions,
		m.purgeReplays,
		m.purgeAuditLog,
		m.purgeUsage,
		m.purgeStats,
	}
	var failed []error
	for _, job := range jobs {
		failed = append(failed, job(ctx))
	}
	err := errors.Join(failed...)
	if err == nil {
		return roundEvery
	}
	if ctx.Err() == nil {
		m.config.Logger.WarnContext(ctx, "maintenance of the store failed in part", slog.Any("error", err))
	}
	return retryRoundAfter
}
