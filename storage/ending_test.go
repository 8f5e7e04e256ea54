package storage_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/storage/storagetest"
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

// locked locks rows of deliveries until unlock is called, as a process does that hangs.
func (f *fixture) locked(t *testing.T, ids ...hook.DeliveryID) (unlock func()) {
	t.Helper()
	tx, err := f.db.Begin(t.Context())
	require.NoError(t, err)
	for _, id := range ids {
		_, err = tx.Exec(t.Context(), `select from deliveries where id = $1 for update`, [16]byte(id))
		require.NoError(t, err)
	}
	release := func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) } // the second call fails
	t.Cleanup(release)
	return release
}

// cancelAll cancels pages of deliveries, as sweepers do, until no cancellation is left to claim.
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

// pendingRows counts the webhook's deliveries that are outstanding in their rows.
func (f *fixture) pendingRows(t *testing.T, w hook.Webhook) int {
	t.Helper()
	return scalar[int](t, f, `select count(*) from deliveries where webhook_id = $1 and next_attempt_at is not null`, [16]byte(w.ID))
}

// endings are the ways in which a webhook ends, with the reason that its deliveries then show.
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
		r := storagetest.RecordOf(&job, answered(500))
		r.Verdict = hook.Verdict{State: hook.StateFailed, Disable: hook.ReasonFailedFinal}
		f.record(t, r)
	}, hook.TextWebhookDisabled},
}

// Ending a webhook waits for none of its outstanding deliveries, also if other transactions hold locks on them.
// All reads show the deliveries as canceled at once, as their rows do later.
func TestEndingAWebhookIsOneRow(t *testing.T) {
	t.Parallel()
	for name, c := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w, other := f.webhook(t), f.webhook(t)
			ids := f.deliverN(t, w, 5)
			f.setDeferred(t, w, ids[3], ids[4])
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

// requireLists checks that the deliveries are in every list in which they belong, and in no other.
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

// Ending a webhook with at most one page of outstanding deliveries has canceled them when it returns.
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

// insertDeferred inserts n deferred deliveries of a webhook that was unavailable, without their events.
func (f *fixture) insertDeferred(t *testing.T, w hook.Webhook, n int) {
	t.Helper()
	f.exec(t, `insert into deliveries (id, event_id, webhook_id, tenant_id, event_type, state, next_attempt_at, created_at, updated_at, parked, generation)
		select (left(uuid_floor(now())::text, 14) || '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
			(left(uuid_floor(now())::text, 14) || '7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid,
			$1, $2, 'user.created', 'pending', now(), now(), now(), true, $4 from generate_series(1, $3) n`,
		[16]byte(w.ID), [16]byte(w.TenantID), n, w.Generation)
	f.exec(t, `insert into drains (webhook_id) values ($1) on conflict do nothing`, [16]byte(w.ID))
}

// A large backlog is canceled page by page, by any process, and its drain ends at once.
func TestCancellationGoesPageByPage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	f.insertDeferred(t, w, 4500)
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
	// The process is killed here. Another one continues when the claim has expired.
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

// A webhook is disabled and enabled at once, before all pages are canceled: deliveries from before stay canceled,
// later ones are sent.
func TestDisabledAndEnabledAtOnce(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.webhook(t)
	before := f.deliverN(t, w, 3)
	f.setDeferred(t, w, before...)
	unlock := f.locked(t, before...)
	f.disable(t, w)
	f.enable(t, w)
	require.Equal(t, 3, f.pendingRows(t, w), "the pages are still to come")
	after := f.delivery(t, w)
	f.setDeferred(t, w, after)
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

// If a webhook ends twice, the first ending that applies to a delivery cancels it, in whatever order the pages
// come.
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

// A delivery whose accept was still running when its webhook ended is in no page of the cancellation. It is not
// sent, all reads show it as canceled, and the drain cancels its row.
func TestAcceptedWhileItsWebhookEnded(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"deleted", "disabled"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			f := setup(t)
			w := f.webhook(t)
			endings[how].end(t, f, w)
			require.Zero(t, f.cancellations(t))
			f.insertDeferred(t, w, 1)
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

// An older process knows no generations. Deliveries that it accepts are canceled with the others, and a webhook
// that it disables has ended for newer processes, too.
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
