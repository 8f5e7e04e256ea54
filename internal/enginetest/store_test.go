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

// gated is a process's store behind the gate.
type gated struct {
	*storage.Store
	p *process
}

// ask runs one operation of the store.
func ask[T any](ctx context.Context, g *gated, what string, f func() (T, error)) (v T, err error) {
	if r := runOf(ctx); r != nil {
		what = fmt.Sprintf("%s of %s", what, r.name)
	}
	if err := g.p.w.gate.pass(g.p, what); err != nil {
		return v, err
	}
	time.Sleep(opTime) //nolint:forbidigo // skipped time
	if g.p.isDead() {
		return v, errKilled
	}
	if err := g.p.w.clock.sync(); err != nil {
		return v, err
	}
	v, err = f()
	if lost := g.p.w.gate.pass(g.p, "answer to "+what); lost != nil {
		var none T
		return none, lost
	}
	return v, err
}

// tell is ask for an operation without a result.
func tell(ctx context.Context, g *gated, what string, f func() error) error {
	_, err := ask(ctx, g, what, func() (struct{}, error) { return struct{}{}, f() })
	return err
}

func (g *gated) Outstanding(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Job, error) {
	return ask(ctx, g, "Outstanding", func() ([]hook.Job, error) { return g.Store.Outstanding(ctx, events, slice, of) })
}

func (g *gated) Record(ctx context.Context, records []hook.Record) (hook.Recorded, error) {
	recorded, err := ask(ctx, g, "Record", func() (hook.Recorded, error) { return g.Store.Record(ctx, records) })
	if err == nil {
		g.p.w.receivers.recorded(records)
	}
	return recorded, err
}

func (g *gated) CancelDeliveries(ctx context.Context, ids []hook.DeliveryID, reason string) error {
	return tell(ctx, g, "CancelDeliveries", func() error { return g.Store.CancelDeliveries(ctx, ids, reason) })
}

func (g *gated) ClaimDeliveries(ctx context.Context, list []hook.Wanted, claim hook.Claim) ([]hook.DeliveryID, error) {
	return ask(ctx, g, "ClaimDeliveries", func() ([]hook.DeliveryID, error) { return g.Store.ClaimDeliveries(ctx, list, claim) })
}

func (g *gated) BeginTest(ctx context.Context, id hook.DeliveryID, claim hook.Claim) (bool, error) {
	return ask(ctx, g, "BeginTest", func() (bool, error) { return g.Store.BeginTest(ctx, id, claim) })
}

func (g *gated) Versions(ctx context.Context, webhooks []hook.WebhookID) (map[hook.WebhookID]int64, error) {
	return ask(ctx, g, "Versions", func() (map[hook.WebhookID]int64, error) { return g.Store.Versions(ctx, webhooks) })
}

func (g *gated) ClaimCancellation(ctx context.Context) (c hook.Cancellation, ok bool, err error) {
	err = tell(ctx, g, "ClaimCancellation", func() (err error) {
		c, ok, err = g.Store.ClaimCancellation(ctx)
		return err
	})
	return c, ok, err
}

func (g *gated) CancelPage(ctx context.Context, c hook.Cancellation) (bool, error) {
	return ask(ctx, g, "CancelPage", func() (bool, error) { return g.Store.CancelPage(ctx, c) })
}

func (g *gated) ReleaseCancellation(ctx context.Context, c hook.Cancellation) error {
	return tell(ctx, g, "ReleaseCancellation", func() error { return g.Store.ReleaseCancellation(ctx, c) })
}

func (g *gated) ReleaseDeliveries(ctx context.Context, ids []hook.DeliveryID, claim hook.Claim) error {
	return tell(ctx, g, "ReleaseDeliveries", func() error { return g.Store.ReleaseDeliveries(ctx, ids, claim) })
}

func (g *gated) DropDeliveries(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	return ask(ctx, g, "DropDeliveries", func() (hook.Ended, error) { return g.Store.DropDeliveries(ctx, ids, age) })
}

func (g *gated) ExpireUnreadable(ctx context.Context, ids []hook.DeliveryID, age time.Duration) (hook.Ended, error) {
	return ask(ctx, g, "ExpireUnreadable", func() (hook.Ended, error) { return g.Store.ExpireUnreadable(ctx, ids, age) })
}

func (g *gated) Payloads(ctx context.Context, events []hook.EventID) (map[hook.EventID][]byte, error) {
	return ask(ctx, g, "Payloads", func() (map[hook.EventID][]byte, error) { return g.Store.Payloads(ctx, events) })
}

func (g *gated) Job(ctx context.Context, id hook.DeliveryID) (hook.Job, error) {
	return ask(ctx, g, "Job", func() (hook.Job, error) { return g.Store.Job(ctx, id) })
}

func (g *gated) States(ctx context.Context, events []hook.EventID, slice, of int) ([]hook.Delivery, error) {
	return ask(ctx, g, "States", func() ([]hook.Delivery, error) { return g.Store.States(ctx, events, slice, of) })
}

func (g *gated) Defer(ctx context.Context, ids []hook.DeliveryID, webhooks []hook.WebhookID) error {
	return tell(ctx, g, "Park", func() error { return g.Store.Defer(ctx, ids, webhooks) })
}

func (g *gated) Deferred(ctx context.Context, webhook hook.WebhookID, limit int) (hook.DeferredPage, error) {
	return ask(ctx, g, "Parked", func() (hook.DeferredPage, error) { return g.Store.Deferred(ctx, webhook, limit) })
}

func (g *gated) ExpireDeferred(ctx context.Context, webhook hook.WebhookID, age time.Duration, limit int) (hook.Ended, error) {
	return ask(ctx, g, "ExpireParked", func() (hook.Ended, error) { return g.Store.ExpireDeferred(ctx, webhook, age, limit) })
}

func (g *gated) SetBreaker(ctx context.Context, webhook hook.WebhookID, open bool) error {
	return tell(ctx, g, "Trip", func() error { return g.Store.SetBreaker(ctx, webhook, open) })
}

func (g *gated) DrainSleeps(ctx context.Context, webhook hook.WebhookID, n hook.Nap) (bool, error) {
	return ask(ctx, g, "DrainSleeps", func() (bool, error) { return g.Store.DrainSleeps(ctx, webhook, n) })
}

func (g *gated) DrainEnds(ctx context.Context, webhook hook.WebhookID, changes int64) (bool, error) {
	return ask(ctx, g, "DrainEnds", func() (bool, error) { return g.Store.DrainEnds(ctx, webhook, changes) })
}

func (g *gated) ReplayStep(ctx context.Context, id hook.ReplayID, made int) (hook.ReplayStep, error) {
	return ask(ctx, g, "ReplayStep", func() (hook.ReplayStep, error) { return g.Store.ReplayStep(ctx, id, made) })
}

func (g *gated) ReplaySleeps(ctx context.Context, id hook.ReplayID, in time.Duration, changes int64) (bool, error) {
	return ask(ctx, g, "ReplaySleeps", func() (bool, error) { return g.Store.ReplaySleeps(ctx, id, in, changes) })
}

func (g *gated) Started(ctx context.Context, events []hook.EventID) error {
	return tell(ctx, g, "Started", func() error { return g.Store.Started(ctx, events) })
}

func (g *gated) ShareWorkflow(ctx context.Context, workflowID string, events []hook.EventID) ([]hook.EventID, error) {
	return ask(ctx, g, "ShareWorkflow", func() ([]hook.EventID, error) { return g.Store.ShareWorkflow(ctx, workflowID, events) })
}

func (g *gated) ClaimUnstarted(ctx context.Context, c hook.OutboxClaim) (page hook.OutboxPage, err error) {
	// There may be claims in addition to an error.
	failed := tell(ctx, g, "ClaimUnstarted", func() error {
		page, err = g.Store.ClaimUnstarted(ctx, c)
		return nil
	})
	if failed != nil {
		return hook.OutboxPage{}, failed
	}
	return page, err
}

func (g *gated) Unclaim(ctx context.Context, events []hook.EventID) error {
	return tell(ctx, g, "Unclaim", func() error { return g.Store.Unclaim(ctx, events) })
}

func (g *gated) Unattempted(ctx context.Context, events []hook.EventID) (int, error) {
	return ask(ctx, g, "Unattempted", func() (int, error) { return g.Store.Unattempted(ctx, events) })
}

func (g *gated) Targets(ctx context.Context, events []hook.EventID) (map[hook.EventID][]hook.Target, error) {
	return ask(ctx, g, "Targets", func() (map[hook.EventID][]hook.Target, error) { return g.Store.Targets(ctx, events) })
}

func (g *gated) Lease(ctx context.Context, name string, holder hook.LeaseHolder, d time.Duration) (bool, error) {
	return ask(ctx, g, "Lease", func() (bool, error) { return g.Store.Lease(ctx, name, holder, d) })
}

func (g *gated) EndLease(ctx context.Context, name string, holder hook.LeaseHolder) error {
	return tell(ctx, g, "EndLease", func() error { return g.Store.EndLease(ctx, name, holder) })
}

func (g *gated) LostDrains(ctx context.Context, age time.Duration, limit int) ([]hook.WebhookID, error) {
	return ask(ctx, g, "LostDrains", func() ([]hook.WebhookID, error) { return g.Store.LostDrains(ctx, age, limit) })
}

func (g *gated) LostReplays(ctx context.Context, age time.Duration, limit int) ([]hook.ReplayID, error) {
	return ask(ctx, g, "LostReplays", func() ([]hook.ReplayID, error) { return g.Store.LostReplays(ctx, age, limit) })
}

func (g *gated) Overdue(ctx context.Context, age time.Duration, after hook.OverdueMark, limit int) (list []hook.Overdue, next hook.OverdueMark, err error) {
	err = tell(ctx, g, "Overdue", func() (err error) {
		list, next, err = g.Store.Overdue(ctx, age, after, limit)
		return err
	})
	return list, next, err
}

func (g *gated) Restarts(ctx context.Context, list []hook.Overdue) ([]hook.Start, error) {
	return ask(ctx, g, "Restarts", func() ([]hook.Start, error) { return g.Store.Restarts(ctx, list) })
}

func (g *gated) EnsurePartitions(ctx context.Context) (int, error) {
	return ask(ctx, g, "EnsurePartitions", func() (int, error) { return g.Store.EnsurePartitions(ctx) })
}

func (g *gated) DropOldPartitions(ctx context.Context, retention time.Duration) (int, error) {
	return ask(ctx, g, "DropOldPartitions", func() (int, error) { return g.Store.DropOldPartitions(ctx, retention) })
}

func (g *gated) CancelStaleTests(ctx context.Context, age time.Duration) error {
	return tell(ctx, g, "CancelStaleTests", func() error { return g.Store.CancelStaleTests(ctx, age) })
}

func (g *gated) PurgeIdempotencyKeys(ctx context.Context) (int64, error) {
	return ask(ctx, g, "PurgeIdempotencyKeys", func() (int64, error) { return g.Store.PurgeIdempotencyKeys(ctx) })
}

func (g *gated) PurgeProcesses(ctx context.Context) error {
	return tell(ctx, g, "PurgeProcesses", func() error { return g.Store.PurgeProcesses(ctx) })
}

func (g *gated) Heartbeat(ctx context.Context, id hook.ProcessID) error {
	return tell(ctx, g, "Heartbeat", func() error { return g.Store.Heartbeat(ctx, id) })
}

func (g *gated) EndProcess(ctx context.Context, id hook.ProcessID) error {
	return tell(ctx, g, "EndProcess", func() error { return g.Store.EndProcess(ctx, id) })
}

func (g *gated) ProcessAlive(ctx context.Context, id hook.ProcessID) (bool, error) {
	return ask(ctx, g, "ProcessAlive", func() (bool, error) { return g.Store.ProcessAlive(ctx, id) })
}

func (g *gated) PurgeReplays(ctx context.Context, age time.Duration) error {
	return tell(ctx, g, "PurgeReplays", func() error { return g.Store.PurgeReplays(ctx, age) })
}

func (g *gated) ForgetSecrets(ctx context.Context) (int64, error) {
	return ask(ctx, g, "ForgetSecrets", func() (int64, error) { return g.Store.ForgetSecrets(ctx) })
}
