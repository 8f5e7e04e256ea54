package storage_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
)

func (f *fixture) change(t *testing.T, w hook.Webhook, change func(*hook.Webhook)) hook.Webhook {
	t.Helper()
	w, err := f.UpdateWebhook(t.Context(), w.TenantID, w.ID, func(w *hook.Webhook) error { change(w); return nil })
	require.NoError(t, err)
	return w
}

func (f *fixture) disable(t *testing.T, w hook.Webhook) hook.Webhook {
	t.Helper()
	return f.change(t, w, inactive)
}

func (f *fixture) enable(t *testing.T, w hook.Webhook) hook.Webhook {
	t.Helper()
	return f.change(t, w, func(w *hook.Webhook) { w.Active, w.DisabledReason = true, "" })
}

// deliverN publishes n events and returns their deliveries to the webhook.
func (f *fixture) deliverN(t *testing.T, w hook.Webhook, n int) []hook.DeliveryID {
	t.Helper()
	var list []hook.DeliveryID
	for range n {
		list = append(list, f.delivery(t, w))
	}
	return list
}

// locked keeps rows of deliveries locked until the returned function is called, as a
// process does that stands still.
func (f *fixture) locked(t *testing.T, ids ...hook.DeliveryID) (unlock func()) {
	t.Helper()
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	for _, id := range ids {
		_, err = tx.Exec(t.Context(), `select from deliveries where id = $1 for update`, [16]byte(id))
		require.NoError(t, err)
	}
	release := func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) } // the second time it fails
	t.Cleanup(release)
	return release
}

// cancelAll does what sweepers do, until nothing is left to claim.
func (f *fixture) cancelAll(t *testing.T) {
	t.Helper()
	f.exec(t, `update cancellations set claimed_until = '-infinity'`)
	for {
		c, ok, err := f.ClaimCancellation(t.Context())
		require.NoError(t, err)
		if !ok {
			return
		}
		for more := true; more; {
			more, err = f.CancelPage(t.Context(), c)
			require.NoError(t, err)
		}
	}
}

func (f *fixture) cancellations(t *testing.T) int {
	t.Helper()
	return scalar[int](t, f, `select count(*) from cancellations`)
}

// pendingRows are the webhook's deliveries that the database has as outstanding.
func (f *fixture) pendingRows(t *testing.T, w hook.Webhook) int {
	t.Helper()
	return scalar[int](t, f, `select count(*) from deliveries where webhook_id = $1 and next_attempt_at is not null`, [16]byte(w.ID))
}

// endings are the ways in which a webhook ends, and what its deliveries say then.
var endings = map[string]struct {
	end    func(t *testing.T, f *fixture, w hook.Webhook)
	reason string
}{
	"deleted": {func(t *testing.T, f *fixture, w hook.Webhook) {
		t.Helper()
		require.NoError(t, f.DeleteWebhook(t.Context(), w.TenantID, w.ID))
	}, hook.TextWebhookDeleted},
	"disabled": {func(t *testing.T, f *fixture, w hook.Webhook) { t.Helper(); f.disable(t, w) }, hook.TextWebhookDisabled},
	"gone": {func(t *testing.T, f *fixture, w hook.Webhook) {
		t.Helper()
		f.attempt(t, f.delivery(t, w), answered(410))
	}, hook.TextWebhookDisabled},
	"five days": {func(t *testing.T, f *fixture, w hook.Webhook) {
		t.Helper()
		f.failingFor(t, w, "6 days")
		f.attempt(t, f.delivery(t, w), answered(500))
	}, hook.TextWebhookDisabled},
	"strict": {func(t *testing.T, f *fixture, w hook.Webhook) {
		t.Helper()
		job, err := f.Job(t.Context(), f.delivery(t, w))
		require.NoError(t, err)
		r := recordOf(&job, answered(500))
		r.Verdict = hook.Verdict{State: hook.StateFailed, Disable: hook.ReasonFailedFinal}
		f.record(t, r)
	}, hook.TextWebhookDisabled},
}

// Whatever is outstanding for a webhook, and whoever holds it, its end waits for none of
// it, and everybody sees at once what the rows say later.
func TestEndingAWebhookIsOneRow(t *testing.T) {
	t.Parallel()
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w, other := f.webhook(t), f.webhook(t)
			ids := f.deliverN(t, w, 5)
			f.park(t, w, ids[3], ids[4])
			tests, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "user.created", Data: []byte(`{}`)})
			require.NoError(t, err)
			unlock := f.locked(t, ids...)
			c.end(t, f, w)
			require.Equal(t, 1, f.cancellations(t))

			var shown []hook.Delivery
			for _, id := range ids {
				d := f.read(t, id)
				require.Equal(t, hook.StateCanceled, d.State)
				require.Equal(t, c.reason, d.Error)
				require.False(t, d.Outstanding())
				shown = append(shown, d)
				require.Equal(t, 1, scalar[int](t, f, `select count(*) from deliveries where id = $1 and next_attempt_at is not null`, id[:]), "the row follows")
				job, err := f.Job(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, c.reason, job.Canceled(), "nobody sends it")
			}
			require.Equal(t, hook.StatePending, f.read(t, tests.ID).State)
			require.NotEqual(t, c.reason, f.read(t, f.delivery(t, other)).Error)
			f.requireLists(t, w, shown)
			require.Zero(t, f.backlog(t, w, 10).Waiting)
			f.cancelAll(t)
			require.Equal(t, 1, f.cancellations(t), "what is locked is left for later")

			unlock()
			f.cancelAll(t)
			require.Zero(t, f.cancellations(t))
			for _, d := range shown {
				require.Equal(t, d, f.read(t, d.ID), "as it was shown")
				require.Zero(t, scalar[int](t, f, `select count(*) from deliveries where id = $1 and next_attempt_at is not null`, d.ID[:]))
			}
			f.requireLists(t, w, shown)
			require.Equal(t, hook.StatePending, f.read(t, tests.ID).State)
		})
	}
}

// requireLists requires the deliveries in every list in which they should be, and in no
// other.
func (f *fixture) requireLists(t *testing.T, w hook.Webhook, canceled []hook.Delivery) {
	t.Helper()
	for _, state := range append(hook.DeliveryStates(), "") {
		list, _, err := f.Deliveries(t.Context(), w.ID, hook.DeliveryFilter{State: state}, hook.Page{Limit: 100})
		require.NoError(t, err)
		for _, d := range canceled {
			if state == "" || state == hook.StateCanceled {
				require.Contains(t, list, d, state)
				continue
			}
			for _, other := range list {
				require.NotEqual(t, d.ID, other.ID, state)
			}
		}
	}
	for _, d := range canceled {
		list, err := f.DeliveriesOfEvent(t.Context(), d.EventID, 10)
		require.NoError(t, err)
		require.Contains(t, list, d)
		list, err = f.States(t.Context(), []hook.EventID{d.EventID}, 0, 1)
		require.NoError(t, err)
		require.Contains(t, list, d)
	}
}

// An ordinary end, with no more than a page outstanding, has canceled it when it returns.
func TestEndingCancelsTheFirstPage(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"deleted", "disabled"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			f.deliverN(t, w, 3)
			endings[how].end(t, f, w)
			require.Zero(t, f.pendingRows(t, w))
			require.Zero(t, f.cancellations(t))
		})
	}
}

// backlog of a webhook that was away, without their events.
func (f *fixture) parkMany(t *testing.T, w hook.Webhook, n int) {
	t.Helper()
	f.exec(t, `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked, generation)
		select (left(uuid_floor(now())::text, 14) || '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
			(left(uuid_floor(now())::text, 14) || '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
			$1, $2, 'user.created', 'pending', now(), now(), now(), true, $4 from generate_series(1, $3) n`,
		[16]byte(w.ID), [16]byte(w.TenantID), n, w.Generation)
	f.exec(t, `insert into drains (webhook_id) values ($1) on conflict do nothing`, [16]byte(w.ID))
}

// A large backlog goes page by page, by any process, and its drain ends at once.
func TestCancellationGoesPageByPage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.parkMany(t, w, 4500)
	f.attempt(t, f.delivery(t, w), answered(410))
	ended, err := f.DrainEnds(t.Context(), w.ID, 0)
	require.NoError(t, err)
	require.True(t, ended)

	c, ok, err := f.ClaimCancellation(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = f.ClaimCancellation(t.Context())
	require.NoError(t, err)
	require.False(t, ok, "it is claimed")
	for _, left := range []int{2500, 500} {
		more, err := f.CancelPage(t.Context(), c)
		require.NoError(t, err)
		require.True(t, more)
		require.Equal(t, left, f.pendingRows(t, w))
	}
	// Its process is killed here. Another one goes on when the claim has expired.
	f.exec(t, `update cancellations set claimed_until = now() - interval '1 second'`)
	again, ok, err := f.ClaimCancellation(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, c, again)
	more, err := f.CancelPage(t.Context(), again)
	require.NoError(t, err)
	require.False(t, more)
	require.Zero(t, f.pendingRows(t, w))
	require.Zero(t, f.cancellations(t))

	more, err = f.CancelPage(t.Context(), c)
	require.NoError(t, err)
	require.False(t, more, "there is nothing left of it")
}

// Undone at once, with the pages still to come: what was accepted before stays canceled,
// what comes after is delivered.
func TestDisabledAndEnabledAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	before := f.deliverN(t, w, 3)
	f.park(t, w, before...)
	unlock := f.locked(t, before...)
	f.disable(t, w)
	f.enable(t, w)
	require.Equal(t, 3, f.pendingRows(t, w), "the pages are still to come")
	after := f.delivery(t, w)
	f.park(t, w, after)
	for range 2 {
		for _, id := range before {
			d := f.read(t, id)
			require.Equal(t, hook.StateCanceled, d.State)
			require.Equal(t, hook.TextWebhookDisabled, d.Error)
			job, err := f.Job(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, hook.TextWebhookDisabled, job.Canceled())
		}
		job, err := f.Job(t.Context(), after)
		require.NoError(t, err)
		require.Empty(t, job.Canceled())
		require.Equal(t, hook.StatePending, f.read(t, after).State)
		b := f.backlog(t, w, 10)
		require.Equal(t, 1, b.Waiting)
		require.Equal(t, after, b.Jobs[0].Delivery.ID)
		unlock()
		f.cancelAll(t)
	}
	require.Equal(t, 1, f.pendingRows(t, w))
	f.attempt(t, after, answered(200))
	require.Equal(t, hook.StateSuccess, f.read(t, after).State)
}

// Of two endings each delivery is canceled by the first that is about it, in whatever
// order the pages come.
func TestTwoEndingsOfOneWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	first := f.delivery(t, w)
	unlock := f.locked(t, first)
	f.disable(t, w)
	f.enable(t, w)
	second := f.delivery(t, w)
	unlockSecond := f.locked(t, second)
	require.NoError(t, f.DeleteWebhook(t.Context(), w.TenantID, w.ID))
	require.Equal(t, 2, f.cancellations(t))
	for range 2 {
		require.Equal(t, hook.TextWebhookDisabled, f.read(t, first).Error)
		require.Equal(t, hook.TextWebhookDeleted, f.read(t, second).Error)
		unlock()
		unlockSecond()
		f.cancelAll(t)
	}
	require.Zero(t, f.cancellations(t))
	require.Zero(t, f.pendingRows(t, w))
}

// A delivery whose accept was still running when its webhook ended is in no page. Nobody
// sends it, everybody sees it as canceled, and its drain has it canceled.
func TestAcceptedWhileItsWebhookEnded(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"deleted", "disabled"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			endings[how].end(t, f, w)
			require.Zero(t, f.cancellations(t))
			f.parkMany(t, w, 1)
			id := hook.DeliveryID(scalar[[16]byte](t, f, `select id from deliveries`))
			d := f.read(t, id)
			require.Equal(t, hook.StateCanceled, d.State)
			require.Equal(t, endings[how].reason, d.Error)
			require.Zero(t, f.backlog(t, w, 10).Waiting)
			ended, err := f.DrainEnds(t.Context(), w.ID, 0)
			require.NoError(t, err)
			require.True(t, ended)
			f.cancelAll(t)
			require.Zero(t, f.pendingRows(t, w))
			require.Equal(t, endings[how].reason, f.read(t, id).Error)
		})
	}
}

// Beside an older process, which knows no generations: what it has accepted is canceled
// with the others, and what it disables is ended for the newer ones too.
func TestEndingBesideAnOlderProcess(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	theirs := f.delivery(t, w)
	f.exec(t, `update deliveries set generation = null`)
	job, err := f.Job(t.Context(), theirs)
	require.NoError(t, err)
	require.Empty(t, job.Canceled())
	unlock := f.locked(t, theirs)
	f.disable(t, w)
	require.Equal(t, hook.StateCanceled, f.read(t, theirs).State)
	f.enable(t, w)
	later := f.delivery(t, w)
	f.exec(t, `update deliveries set generation = null where id = $1`, later[:])
	unlock()
	f.cancelAll(t)
	require.Equal(t, hook.StateCanceled, f.read(t, theirs).State)
	require.Equal(t, hook.StatePending, f.read(t, later).State, "it came after the ending")

	ours := f.delivery(t, w)
	f.exec(t, `update webhooks set active = false, disabled_reason = 'deactivated by the client'`)
	require.Equal(t, hook.StateCanceled, f.read(t, ours).State)
	f.exec(t, `update webhooks set active = true, disabled_reason = ''`)
	require.Equal(t, hook.StateCanceled, f.read(t, ours).State)
}

// An attempt that was under way when the webhook ended counts where it succeeded; where
// it failed, its delivery is canceled, also while the pages are still to come.
func TestRecordingARevokedDelivery(t *testing.T) {
	t.Parallel()
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			ids := f.deliverN(t, w, 4)
			var jobs []hook.Job
			for _, id := range ids {
				job, err := f.Job(t.Context(), id)
				require.NoError(t, err)
				jobs = append(jobs, job)
			}
			unlock := f.locked(t, ids...)
			c.end(t, f, w)
			unlock()
			require.Equal(t, 4, f.pendingRows(t, w))

			require.Equal(t, hook.StateSuccess, f.record(t, recordOf(&jobs[0], answered(200))).State)
			final := recordOf(&jobs[2], answered(500))
			final.Verdict.Retry = false
			for i, r := range []hook.Record{recordOf(&jobs[1], answered(500)), final, recordOf(&jobs[3], byHand(answered(500)))} {
				d := f.record(t, r)
				require.Equal(t, hook.StateCanceled, d.State, i)
				require.Equal(t, c.reason, d.Error, i)
				require.Equal(t, 1, d.Attempts, i)
				require.Equal(t, d, f.read(t, d.ID), i)
			}
			require.Zero(t, f.pendingRows(t, w))
		})
	}
}

// A 410 takes no neighbour of its statement along, and does not wait for its backlog.
func TestGoneTakesNoNeighbourAlong(t *testing.T) {
	t.Parallel()
	f := setup(t)
	gone, other := f.webhook(t), f.webhook(t)
	backlog := f.deliverN(t, gone, 3)
	f.locked(t, backlog...)
	list, err := f.DeliveriesOfEvent(t.Context(), f.publish(t, "user.created").Event.ID, 10)
	require.NoError(t, err)
	var records []hook.Record
	for i := range list {
		job, err := f.Job(t.Context(), list[i].ID)
		require.NoError(t, err)
		status := 200
		if job.Webhook.ID == gone.ID {
			status = 410
		}
		records = append(records, recordOf(&job, answered(status)))
	}
	found, err := f.Record(t.Context(), records)
	require.NoError(t, err)
	require.Len(t, found, 2)
	require.Equal(t, hook.ReasonGone, f.reason(t, gone))
	require.Equal(t, "healthy", f.status(t, other))
}

// A replay's progress counts what is revoked as canceled, and a later one may send it again.
func TestReplayOfWhatIsRevoked(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.exec(t, `update events set created_at = created_at - interval '1 minute'`)
	r, err := f.CreateReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 100,
	})
	require.NoError(t, err)
	f.exec(t, `update deliveries set replay_id = $1`, [16]byte(r.ID))
	progress := func() hook.ReplayProgress {
		p, err := f.ReplayProgress(t.Context(), r.ID)
		require.NoError(t, err)
		return p
	}
	require.Equal(t, hook.ReplayProgress{Outstanding: 1}, progress())
	unlock := f.locked(t, id)
	f.disable(t, w)
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, progress())
	f.enable(t, w)
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, progress())
	n, err := f.CountReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: w.ID, Status: hook.ReplayFailed, Since: time.Now().Add(-time.Hour), Until: time.Now().Add(time.Hour), Rate: 100,
	}, 10)
	require.NoError(t, err)
	require.LessOrEqual(t, n.Events, 1)
	unlock()
	f.cancelAll(t)
	require.Equal(t, hook.ReplayProgress{Canceled: 1}, progress())
}

// C14: an attempt whose recording is repeated while the first one is still in its commit is
// recorded once.
func TestRecordedOnceBesideItsOwnCommit(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	id := f.delivery(t, w)
	f.attempt(t, f.delivery(t, w), answered(500)) // so that the next failure locks no webhook's row first
	for range 4 {
		f.attempt(t, f.delivery(t, w), answered(500))
	}
	job, err := f.Job(t.Context(), id)
	require.NoError(t, err)
	r := recordOf(&job, answered(500))
	// The first recording's transaction stands before its commit for as long as somebody
	// holds this advisory lock, as it would on a disk that stands still.
	f.exec(t, `create function stall() returns trigger language plpgsql as $$ begin perform pg_advisory_xact_lock(4711); return null; end $$`)
	f.exec(t, `create constraint trigger stall after insert on attempts deferrable initially deferred for each row execute function stall()`)
	disk, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	defer func(ctx context.Context) { _ = disk.Rollback(ctx) }(context.WithoutCancel(t.Context())) // after the commit it fails
	_, err = disk.Exec(t.Context(), `select pg_advisory_xact_lock(4711)`)
	require.NoError(t, err)
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			return scalar[int](t, f, `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`) == n
		}, 10*time.Second, 5*time.Millisecond)
	}
	other := open(t, f.url, encryptionKey) // a store of its own, since a store would wait for its first statement
	results := make(chan []hook.Delivery, 2)
	record := func(record func(context.Context, []hook.Record) ([]hook.Delivery, error)) {
		found, err := record(t.Context(), []hook.Record{r})
		if err != nil {
			t.Error(err)
		}
		results <- found
	}
	go record(f.Record)
	waiting(1)
	go record(other.Record)
	waiting(2)
	require.NoError(t, disk.Commit(t.Context()))
	for range 2 {
		found := <-results
		require.Len(t, found, 1)
		require.Equal(t, 1, found[0].Attempts)
	}
	require.Equal(t, 1, f.read(t, id).Scheduled)
	require.Len(t, must(f.Attempts(t.Context(), id)), 1)
}

// A change that requests depend on is another version; others are not, nor is what the
// store finds out by itself. It is answered when nobody goes by the one before any more.
func TestVersions(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t, withHeaders)
	f.inOverlap(t, f.webhook(t))
	version := w.Version
	for name, c := range map[string]struct {
		change func(*hook.Webhook)
		bumps  bool
	}{
		"url":          {func(w *hook.Webhook) { w.URL = "https://example.com/other" }, true},
		"secret":       {func(w *hook.Webhook) { w.Replace("whsec_other") }, true},
		"rotation":     {func(w *hook.Webhook) { _ = w.Rotate("whsec_third", time.Now(), time.Now().Add(time.Hour)) }, true},
		"headers":      {func(w *hook.Webhook) { w.Headers["X-Team"] = "another" }, true},
		"time-out":     {func(w *hook.Webhook) { w.Timeout = 7 * time.Second }, true},
		"rate":         {func(w *hook.Webhook) { w.RateLimit = 7 }, true},
		"attempts":     {func(w *hook.Webhook) { w.MaxAttempts = 2 }, true},
		"pause":        {func(w *hook.Webhook) { w.Pause(true, time.Now().UTC().Truncate(time.Microsecond)) }, true},
		"description":  {func(w *hook.Webhook) { w.Description = "another" }, false},
		"event types":  {func(w *hook.Webhook) { w.Events = []string{"user.created", "user.deleted"} }, false},
		"health":       {func(w *hook.Webhook) { w.Health = hook.HealthFailing }, false},
		"nothing":      {func(*hook.Webhook) {}, false},
		"deactivation": {inactive, true},
	} {
		begin := time.Now()
		changed := f.change(t, w, c.change)
		require.Equal(t, c.bumps, changed.Version > version, name)
		if c.bumps {
			require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor, name)
		}
		require.Equal(t, changed, f.health(t, w), name)
		version = changed.Version
		if name == "deactivation" {
			version = f.enable(t, w).Version
		}
	}
	require.NoError(t, f.Trip(t.Context(), w.ID, true))
	versions, err := f.Versions(t.Context(), []hook.WebhookID{w.ID, {1}})
	require.NoError(t, err)
	require.Equal(t, map[hook.WebhookID]int64{w.ID: version}, versions)
	begin := time.Now()
	require.NoError(t, f.DeleteWebhook(t.Context(), w.TenantID, w.ID))
	require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor)
}

// The other changes of what is sent to a webhook are versions of it as well.
func TestVersionsOfWhatBelongsToAWebhook(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w, plain := f.webhook(t, asymmetric), f.webhook(t)
	begin := time.Now()
	_, err := f.RotateSigningKey(t.Context(), w.TenantID, 0)
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor)
	require.Greater(t, f.health(t, w).Version, w.Version)
	require.Equal(t, plain.Version, f.health(t, plain).Version)

	r, err := f.CreateReplay(t.Context(), hook.Replay{
		TenantID: w.TenantID, WebhookID: plain.ID, Status: hook.ReplayAll, Since: time.Now().Add(-time.Hour), Until: time.Now(), Rate: 100,
	})
	require.NoError(t, err)
	begin = time.Now()
	_, err = f.UpdateReplay(t.Context(), w.TenantID, r.ID, func(r *hook.Replay) error { r.State = hook.ReplayCanceled; return nil })
	require.NoError(t, err)
	require.GreaterOrEqual(t, time.Since(begin), hook.TrustFor)
	require.Greater(t, f.health(t, plain).Version, plain.Version)
}

// A claim is a look: it takes nothing for a webhook that is another one by now.
func TestClaimsAreOfTheWebhookAsLoaded(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, f *fixture, w hook.Webhook){
		"paused": func(t *testing.T, f *fixture, w hook.Webhook) { t.Helper(); f.pause(t, w, true) },
		"rotated": func(t *testing.T, f *fixture, w hook.Webhook) {
			t.Helper()
			f.change(t, w, func(w *hook.Webhook) { w.Replace("another") })
		},
		"disabled": endings["disabled"].end,
		"deleted":  endings["deleted"].end,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w, other := f.topicWebhook(t, room(), "a"), f.topicWebhook(t, room(), "b")
			jobs, err := f.Outstanding(t.Context(), []hook.EventID{message(t, f.Store, room(), "x").ID}, 0, 1)
			require.NoError(t, err)
			var list []hook.Wanted
			var stays hook.DeliveryID
			for i := range jobs {
				list = append(list, hook.Wanted{ID: jobs[i].Delivery.ID, Version: jobs[i].Webhook.Version})
				if jobs[i].Webhook.ID == other.ID {
					stays = jobs[i].Delivery.ID
				}
			}
			end(t, f, w)
			claimed, err := f.ClaimDeliveries(t.Context(), list, hook.Claim{1})
			require.NoError(t, err)
			require.Equal(t, []hook.DeliveryID{stays}, claimed)
		})
	}
}
