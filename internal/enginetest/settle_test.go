package enginetest_test

import (
	"time"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// How long a delivery may be due, once there are no more failures, before it must have ended. A deferred delivery
// of an available webhook needs the drain's next look, or the next run of a drain that was killed; behind an open
// breaker it needs the next probe. A delivery of a workflow may have to wait for the reconciler.
const (
	drainWithin  = 3 * time.Minute
	probeWithin  = 15 * time.Minute
	settleWithin = 30 * time.Minute
	settleLook   = time.Minute
	// settleAll is longer than any schedule and any Retry-After.
	settleAll = 30 * time.Hour
)

// recover ends all failures.
func (w *world) recover() {
	w.logf("all is well from now on")
	w.temporal.change(func() {
		w.temporal.away, w.temporal.starts = false, startsFine
		for _, p := range w.processes {
			p.cut = false
		}
	})
	for i, p := range w.processes {
		if p.isDead() {
			w.restart(i)
		}
	}
	w.receivers.mu.Lock()
	for _, h := range w.webhooks {
		h.behaves = answersOK
	}
	w.receivers.mu.Unlock()
	w.barrier.open()
}

// settle ends all failures, and checks that all accepted deliveries then end.
func (w *world) settle() {
	w.recover()
	w.setSuspended(w.client(), false)
	for _, h := range w.webhooks {
		if h.now.paused && !h.now.deleted {
			w.change(w.client(), h, "resume")
		}
	}
	for _, id := range w.replays {
		w.setReplay(w.client(), id, hook.ReplayRunning)
	}
	begin := time.Now()
	for {
		w.check(nil)
		left := w.left(begin)
		if left == 0 && w.replaysLeft() == 0 {
			break
		}
		switch passed := time.Since(begin); {
		case passed > settleAll:
			w.failf("deliveries do not end although all is well", "%d left", left)
		case passed < settleWithin+time.Minute:
			time.Sleep(settleLook) //nolint:forbidigo // skipped time
		default:
			w.elapse(settleWithin, 3)
		}
	}
	for _, d := range w.known {
		if d.test && d.gone && time.Since(d.event.Time()) < retention && w.tested(d) {
			w.failf("a test was sent although it had been dropped", "%s", w.short(d.event.String()))
		}
	}
	// Workflows and claims that are done end within this time; a drain may sleep for 5 min.
	time.Sleep(6 * time.Minute) //nolint:forbidigo // skipped time
	w.check(nil)
	w.checkDone()
}

// left counts the deliveries that have not ended. It fails if one is late.
func (w *world) left(begin time.Time) (left int) {
	for _, d := range w.known {
		if !d.outstanding || d.gone {
			continue
		}
		left++
		since := begin
		if d.due.After(since) {
			since = d.due
		}
		within := settleWithin
		if d.deferred {
			within = drainWithin
			if w.tripped(d.webhook) {
				within = probeWithin
			}
		}
		if h := w.webhookOf(d.webhook); h != nil && h.name == "limited" {
			within = settleWithin
		}
		if d.test {
			within = settleWithin
		}
		if late := time.Since(since); late > within {
			w.failf("a delivery is due and is not made", "%s to %s, %s, deferred %v, due for %v", w.short(d.event.String()), w.short(d.webhook.String()), d.state,
				d.deferred, late)
		}
	}
	return left
}

func (w *world) webhookOf(id hook.WebhookID) *webhook {
	for _, h := range w.webhooks {
		if h.id == id {
			return h
		}
	}
	return nil
}

func (w *world) tripped(id hook.WebhookID) (tripped bool) {
	// A deleted webhook has no open breaker.
	w.must(w.db.QueryRow(w.ctx, `select exists (select from webhooks where id = $1 and tripped_at is not null)`, [16]byte(id)).Scan(&tripped), "reading a webhook")
	return tripped
}

func (w *world) replaysLeft() (n int) {
	w.must(w.db.QueryRow(w.ctx, `select count(*) from replays where ended_at is null`).Scan(&n), "counting replays")
	return n
}

// checkDone checks that no work is left, and that each request is in the log unless its process was killed or its
// day was dropped.
func (w *world) checkDone() {
	var outbox, drains, cancellations int
	w.must(w.db.QueryRow(w.ctx, `select (select count(*) from outbox), (select count(*) from drains), (select count(*) from cancellations)`).
		Scan(&outbox, &drains, &cancellations), "counting what is left")
	if cancellations > 0 {
		w.failf("there are cancellations although nothing is outstanding", "%d rows", cancellations)
	}
	if outbox > 0 {
		w.failf("the outbox is not empty although nothing is outstanding", "%d rows", outbox)
	}
	if drains > 0 {
		w.failf("there are drains although nothing is deferred", "%d rows", drains)
	}
	for id := range w.temporal.running() {
		// A workflow that waits for the next attempt of a delivery that was canceled meanwhile looks only then.
		if _, ok := w.temporal.runs[id].input.(contract.DeliverInput); !ok {
			w.failf("a workflow runs although nothing is outstanding", "%s", w.short(id))
		}
	}
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	for _, r := range w.receivers.requests {
		if r.recorded > 0 || r.stalled || r.p.isDead() || r.webhook == nil {
			continue
		}
		if w.forgotten(r) {
			continue
		}
		w.logf("request %d of publication %d to %s by %s", r.number, r.publication, r.webhook.name, r.p.name)
		w.failf("a request is not in the log although its process lived on", "")
	}
}

// forgotten reports whether the row of the request's delivery is gone.
func (w *world) forgotten(r *request) bool {
	for _, d := range w.known {
		if d.gone && d.webhook == r.webhook.id && d.event == w.publications[r.publication].event {
			return true
		}
	}
	return false
}
