package enginetest_test

import (
	"context"
	"fmt"
	"time"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// opTime is the duration of a transaction, so that no loop is endless in skipped time.
const opTime = time.Millisecond

// steppedStore is a process's store behind the barrier.
type steppedStore struct {
	*storage.Store
	p *process
}

// impatient is the context key of operations that end with their context also at the barrier.
type impatient struct{}

// ask runs one operation of the store. The barrier sorts operations by name.
func ask[T any](ctx context.Context, s *steppedStore, what string, f func() (T, error)) (v T, err error) {
	if r := runOf(ctx); r != nil {
		what = fmt.Sprintf("%s of %s", what, r.name)
	}
	var gone <-chan struct{}
	if ctx.Value(impatient{}) != nil {
		gone = ctx.Done()
	}
	if err := s.p.w.barrier.pass(s.p, what, gone); err != nil {
		return v, err
	}
	time.Sleep(opTime) //nolint:forbidigo // skipped time
	if s.p.isDead() {
		return v, errKilled
	}
	if err := s.p.w.clock.sync(); err != nil {
		return v, err
	}
	v, err = f()
	if lost := s.p.w.barrier.pass(s.p, "answer to "+what, gone); lost != nil {
		var none T
		return none, lost
	}
	return v, err
}

// tell is ask for an operation without a result.
func tell(ctx context.Context, s *steppedStore, what string, f func() error) error {
	_, err := ask(ctx, s, what, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (s *steppedStore) Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error) {
	return ask(ctx, s, "Outstanding", func() ([]hook.Job, error) { return s.Store.Outstanding(ctx, events, slice, of) })
}

func (s *steppedStore) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	recorded, err := ask(ctx, s, "Record", func() (hook.Recorded, error) { return s.Store.Record(ctx, records) })
	if err == nil {
		s.p.w.receivers.recorded(records)
	}
	return recorded, err
}

func (s *steppedStore) CancelDeliveries(ctx context.Context, ids []hook.DeliveryID, reason string) error {
	return tell(ctx, s, "CancelDeliveries", func() error { return s.Store.CancelDeliveries(ctx, ids, reason) })
}

func (s *steppedStore) ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error) {
	return ask(ctx, s, "ClaimDeliveries", func() ([]hook.DeliveryID, error) { return s.Store.ClaimDeliveries(ctx, list, claim) })
}

func (s *steppedStore) BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (bool, error) {
	return ask(ctx, s, "BeginTest", func() (bool, error) { return s.Store.BeginTest(ctx, id, claim) })
}

func (s *steppedStore) Versions(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	return ask(ctx, s, "Versions", func() (map[hook.WebhookID]int64, error) { return s.Store.Versions(ctx, webhooks) })
}

func (s *steppedStore) ClaimCancellation(ctx context.Context) (c hook.Cancellation, ok bool, err error) {
	err = tell(ctx, s, "ClaimCancellation", func() (err error) {
		c, ok, err = s.Store.ClaimCancellation(ctx)
		return err
	})
	return c, ok, err
}

func (s *steppedStore) CancelPage(ctx context.Context, c hook.Cancellation) (bool, error) {
	return ask(ctx, s, "CancelPage", func() (bool, error) { return s.Store.CancelPage(ctx, c) })
}

func (s *steppedStore) ReleaseCancellation(ctx context.Context, c hook.Cancellation) error {
	return tell(ctx, s, "ReleaseCancellation", func() error { return s.Store.ReleaseCancellation(ctx, c) })
}

func (s *steppedStore) ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error {
	return tell(ctx, s, "ReleaseDeliveries", func() error { return s.Store.ReleaseDeliveries(ctx, ids, claim) })
}

func (s *steppedStore) DropDeliveries(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	return ask(ctx, s, "DropDeliveries", func() (hook.Ended, error) { return s.Store.DropDeliveries(ctx, ids, age) })
}

func (s *steppedStore) ExpireUnreadable(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	return ask(ctx, s, "ExpireUnreadable", func() (hook.Ended, error) { return s.Store.ExpireUnreadable(ctx, ids, age) })
}

func (s *steppedStore) Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error) {
	return ask(ctx, s, "Payloads", func() (map[hook.EventID][]byte, error) { return s.Store.Payloads(ctx, events) })
}

func (s *steppedStore) Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error) {
	return ask(ctx, s, "Job", func() (hook.Job, error) { return s.Store.Job(ctx, id) })
}

func (s *steppedStore) States(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Delivery, error) {
	return ask(ctx, s, "States", func() ([]hook.Delivery, error) { return s.Store.States(ctx, events, slice, of) })
}

func (s *steppedStore) Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error {
	return tell(ctx, s, "Defer", func() error { return s.Store.Defer(ctx, ids, webhooks) })
}

func (s *steppedStore) Deferred(ctx context.Context, webhook hook.WebhookID, limit int) (hook.DeferredPage, error) {
	return ask(ctx, s, "Deferred", func() (hook.DeferredPage, error) { return s.Store.Deferred(ctx, webhook, limit) })
}

func (s *steppedStore) ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error) {
	return ask(ctx, s, "ExpireDeferred", func() (hook.Ended, error) { return s.Store.ExpireDeferred(ctx, webhook, age, limit) })
}

func (s *steppedStore) SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error {
	return tell(ctx, s, "SetBreaker", func() error { return s.Store.SetBreaker(ctx, webhook, open) })
}

func (s *steppedStore) DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (bool, error) {
	return ask(ctx, s, "DrainSleeps", func() (bool, error) { return s.Store.DrainSleeps(ctx, webhook, n) })
}

func (s *steppedStore) DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error) {
	return ask(ctx, s, "DrainEnds", func() (bool, error) { return s.Store.DrainEnds(ctx, webhook, changes) })
}

func (s *steppedStore) ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error) {
	return ask(ctx, s, "ReplayStep", func() (hook.ReplayStep, error) { return s.Store.ReplayStep(ctx, id, made) })
}

func (s *steppedStore) ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration, changes int64) (bool, error) {
	return ask(ctx, s, "ReplaySleeps", func() (bool, error) { return s.Store.ReplaySleeps(ctx, id, in, changes) })
}

func (s *steppedStore) Started(ctx context.Context, events []hook.EventID) error {
	return tell(ctx, s, "Started", func() error { return s.Store.Started(ctx, events) })
}

func (s *steppedStore) ShareWorkflow(ctx context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error) {
	return ask(ctx, s, "ShareWorkflow", func() ([]hook.EventID, error) { return s.Store.ShareWorkflow(ctx, workflowID, events) })
}

func (s *steppedStore) ClaimUnstarted(ctx context.Context, c hook.OutboxClaim) (page hook.OutboxPage, err error) {
	// There may be claims in addition to an error.
	failed := tell(ctx, s, "ClaimUnstarted", func() error {
		page, err = s.Store.ClaimUnstarted(ctx, c)
		return nil
	})
	if failed != nil {
		return hook.OutboxPage{}, failed
	}
	return page, err
}

func (s *steppedStore) Unclaim(ctx context.Context, events []hook.EventID) error {
	return tell(ctx, s, "Unclaim", func() error { return s.Store.Unclaim(ctx, events) })
}

func (s *steppedStore) Unattempted(ctx context.Context, events []hook.EventID) (int, error) {
	return ask(ctx, s, "Unattempted", func() (int, error) { return s.Store.Unattempted(ctx, events) })
}

func (s *steppedStore) Targets(ctx context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error) {
	return ask(ctx, s, "Targets", func() (map[hook.EventID][]hook.Target, error) { return s.Store.Targets(ctx, events) })
}

func (s *steppedStore) Lease(ctx context.Context, name string, holder hook.LeaseHolder, d time.Duration) (bool, error) {
	return ask(ctx, s, "Lease", func() (bool, error) { return s.Store.Lease(ctx, name, holder, d) })
}

func (s *steppedStore) EndLease(ctx context.Context, name string, holder hook.LeaseHolder) error {
	return tell(ctx, s, "EndLease", func() error { return s.Store.EndLease(ctx, name, holder) })
}

func (s *steppedStore) LostDrains(ctx context.Context, age time.Duration, limit int) ([]hook.WebhookID, error) {
	return ask(ctx, s, "LostDrains", func() ([]hook.WebhookID, error) { return s.Store.LostDrains(ctx, age, limit) })
}

func (s *steppedStore) LostReplays(ctx context.Context, age time.Duration, limit int) ([]hook.ReplayID, error) {
	return ask(ctx, s, "LostReplays", func() ([]hook.ReplayID, error) { return s.Store.LostReplays(ctx, age, limit) })
}

func (s *steppedStore) LostDeletions(ctx context.Context, age time.Duration, limit int) ([]hook.TenantID, error) {
	return ask(ctx, s, "LostDeletions", func() ([]hook.TenantID, error) { return s.Store.LostDeletions(ctx, age, limit) })
}

func (s *steppedStore) Overdue(ctx context.Context, age time.Duration, after hook.OverdueMark, limit int) (list []hook.Overdue, next hook.OverdueMark, err error) {
	err = tell(ctx, s, "Overdue", func() (err error) {
		list, next, err = s.Store.Overdue(ctx, age, after, limit)
		return err
	})
	return list, next, err
}

func (s *steppedStore) Restarts(ctx context.Context, list []hook.Overdue) ([]hook.Start, error) {
	return ask(ctx, s, "Restarts", func() ([]hook.Start, error) { return s.Store.Restarts(ctx, list) })
}

func (s *steppedStore) EnsurePartitions(ctx context.Context) (int, error) {
	return ask(ctx, s, "EnsurePartitions", func() (int, error) { return s.Store.EnsurePartitions(ctx) })
}

func (s *steppedStore) DropOldPartitions(ctx context.Context, retention time.Duration) (int, error) {
	return ask(ctx, s, "DropOldPartitions", func() (int, error) { return s.Store.DropOldPartitions(ctx, retention) })
}

func (s *steppedStore) CancelStaleTests(ctx context.Context, age time.Duration) error {
	return tell(ctx, s, "CancelStaleTests", func() error { return s.Store.CancelStaleTests(ctx, age) })
}

func (s *steppedStore) PurgeIdempotencyKeys(ctx context.Context) (int64, error) {
	return ask(ctx, s, "PurgeIdempotencyKeys", func() (int64, error) { return s.Store.PurgeIdempotencyKeys(ctx) })
}

func (s *steppedStore) PurgeProcesses(ctx context.Context) error {
	return tell(ctx, s, "PurgeProcesses", func() error { return s.Store.PurgeProcesses(ctx) })
}

func (s *steppedStore) Heartbeat(ctx context.Context, id hook.ProcessID) error {
	begin := time.Now()
	ctx = context.WithValue(ctx, impatient{}, true)
	err := tell(ctx, s, "Heartbeat", func() error { return s.Store.Heartbeat(ctx, id) })
	if err == nil {
		s.p.lease.beat(id, begin)
	}
	return err
}

func (s *steppedStore) EndProcess(ctx context.Context, id hook.ProcessID) error {
	return tell(ctx, s, "EndProcess", func() error { return s.Store.EndProcess(ctx, id) })
}

func (s *steppedStore) ProcessAlive(ctx context.Context, id hook.ProcessID) (bool, error) {
	return ask(ctx, s, "ProcessAlive", func() (bool, error) { return s.Store.ProcessAlive(ctx, id) })
}

func (s *steppedStore) PurgeReplays(ctx context.Context, age time.Duration) error {
	return tell(ctx, s, "PurgeReplays", func() error { return s.Store.PurgeReplays(ctx, age) })
}

func (s *steppedStore) ForgetSecrets(ctx context.Context) (int64, error) {
	return ask(ctx, s, "ForgetSecrets", func() (int64, error) { return s.Store.ForgetSecrets(ctx) })
}

func (s *steppedStore) FoldUsage(ctx context.Context, age time.Duration) (int64, error) {
	return ask(ctx, s, "FoldUsage", func() (int64, error) { return s.Store.FoldUsage(ctx, age) })
}
