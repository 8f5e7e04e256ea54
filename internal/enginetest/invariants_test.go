package enginetest_test

import (
	"slices"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// delivery is a delivery as the store had it at the last check.
type delivery struct {
	id          hook.DeliveryID
	event       hook.EventID
	webhook     hook.WebhookID
	state       hook.DeliveryState
	outstanding bool
	attempts    int
	// canceled is the tick of the check that first saw it canceled.
	canceled int64
	// revoked is set if its webhook was deleted or disabled while it was outstanding.
	revoked bool
	// gone is set if its row no longer exists.
	gone, test, deferred bool
	due                  time.Time
}

// check compares the store and the sent requests with the invariants that hold at any time.
func (w *world) check(*rapid.T) {
	synctest.Wait()
	w.must(w.clock.sync(), "setting the time")
	w.checkRequests()
	w.follow()
	w.checkRows()
	w.checkLog()
	w.checkRevoked()
}

// checkRequests fails for errors that the receivers have found, and for messages that were sent twice.
func (w *world) checkRequests() {
	w.receivers.mu.Lock()
	wrong := slices.Clone(w.receivers.wrong)
	requests := slices.Clone(w.receivers.requests)
	w.receivers.mu.Unlock()
	if len(wrong) > 0 {
		w.failf(wrong[0], "")
	}
	type message struct {
		webhook     *webhook
		publication int
	}
	got := map[message]bool{}
	for _, r := range requests {
		if r.webhook == nil || r.webhook.profile != hook.ProfileMomento || r.manual {
			continue
		}
		m := message{r.webhook, r.publication}
		if got[m] {
			w.failf("an at-most-once message was sent twice", "publication %d", r.publication)
		}
		got[m] = true
	}
}

// follow processes the changes of deliveries since the last check.
func (w *world) follow() {
	rows, _ := w.db.Query(w.ctx, `select n, id, event_id, webhook_id, state, outstanding, attempts, inserted from history where n > $1 order by n`, w.noted)
	var n int64
	var next delivery
	var inserted bool
	_, err := pgx.ForEachRow(rows, []any{
		&n, (*[16]byte)(&next.id), (*[16]byte)(&next.event), (*[16]byte)(&next.webhook), (*string)(&next.state), &next.outstanding, &next.attempts, &inserted,
	}, func() error {
		w.noted = n
		before := w.known[next.id]
		if before == nil {
			d := next
			w.known[next.id] = &d
			w.logf("delivery of %s to %s: %s", w.short(next.event.String()), w.short(next.webhook.String()), next.state)
			return nil
		}
		if before.state != next.state || before.outstanding != next.outstanding || before.attempts != next.attempts {
			w.logf("delivery of %s to %s: %s %d attempts → %s %d attempts, outstanding %v", w.short(next.event.String()), w.short(next.webhook.String()),
				before.state, before.attempts, next.state, next.attempts, next.outstanding)
		}
		w.checkMove(before, &next, inserted)
		before.state, before.outstanding, before.attempts = next.state, next.outstanding, next.attempts
		if next.state == hook.StateCanceled && before.canceled == 0 {
			before.canceled = w.tick()
		}
		return nil
	})
	w.must(err, "reading what became of deliveries")
}

// checkMove checks one change of a delivery against the rules of its states.
func (w *world) checkMove(from, to *delivery, inserted bool) {
	about := w.short(from.event.String()) + " to " + w.short(from.webhook.String())
	switch {
	case inserted && (from.state != to.state || from.attempts != to.attempts || from.outstanding != to.outstanding):
		w.failf("a delivery was another when its row was moved", "%s", about)
	case !from.outstanding && to.outstanding:
		w.failf("a delivery that had ended has an attempt to come", "%s: %s → %s", about, from.state, to.state)
	case from.state == hook.StateSuccess && to.state != hook.StateSuccess:
		w.failf("a success was taken back", "%s: %s", about, to.state)
	case to.attempts < from.attempts || to.attempts > from.attempts+1:
		w.failf("attempts do not go up one by one", "%s: %d → %d", about, from.attempts, to.attempts)
	case from.state == hook.StateCanceled && to.state != hook.StateCanceled && to.attempts == from.attempts:
		w.failf("a canceled delivery is no longer canceled", "%s: %s", about, to.state)
	case from.state == hook.StateCanceled && to.state != hook.StateCanceled && to.state != hook.StateSuccess && !w.sentByHand(from):
		w.failf("a canceled delivery is no longer canceled", "%s: %s", about, to.state)
	}
}

// sentByHand reports whether a delivery's request was made by hand.
func (w *world) sentByHand(d *delivery) bool {
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	return slices.ContainsFunc(w.receivers.requests, func(r *request) bool {
		return r.manual && r.webhook != nil && r.webhook.id == d.webhook && w.publications[r.publication].event == d.event
	})
}

// checkRows checks the current rows against the accepted events: each delivery exists, and each outstanding one
// has a drain, a workflow or an outbox row.
func (w *world) checkRows() {
	running := w.delivering()
	present := map[[16]byte]bool{}
	rows, _ := w.db.Query(w.ctx, `
		select d.id, d.event_id, d.test, d.parked, d.next_attempt_at is not null, coalesce(d.next_attempt_at, d.updated_at), w.id is null or not w.active or coalesce(d.generation < w.generation, false),
			exists (select from outbox o where o.event_id = d.event_id), exists (select from drains r where r.webhook_id = d.webhook_id)
		from deliveries d left join webhooks w on w.id = d.webhook_id`)
	var id hook.DeliveryID
	var event hook.EventID
	var test, deferred, outstanding, ended, waiting, draining bool
	var due time.Time
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), (*[16]byte)(&event), &test, &deferred, &outstanding, &due, &ended, &waiting, &draining}, func() error {
		present[id] = true
		d := w.known[id]
		if d == nil {
			return nil
		}
		d.test, d.deferred, d.due = test, deferred, due
		switch {
		case !outstanding || test || ended:
		case deferred && !draining:
			w.failf("a deferred delivery has no drain", "%s to %s", w.short(event.String()), w.short(d.webhook.String()))
		case !deferred && !waiting && !running[event] && w.lost.Before(event.Time()):
			w.failf("an outstanding delivery has neither a row in the outbox nor a workflow", "%s to %s", w.short(event.String()), w.short(d.webhook.String()))
		}
		return nil
	})
	w.must(err, "reading deliveries")
	for id, d := range w.known {
		if present[id] || d.gone {
			continue
		}
		d.gone = true
		old := time.Since(d.event.Time()) > retention
		if d.test && !old && w.tested(d) {
			w.failf("a test was dropped although it was sent", "%s", w.short(d.event.String()))
		}
		if !d.test && (!old || d.outstanding) {
			w.failf("a delivery has vanished", "%s to %s, outstanding %v, %v old", w.short(d.event.String()), w.short(d.webhook.String()), d.outstanding,
				time.Since(d.event.Time()))
		}
	}
	w.checkAccepted()
	w.checkSequences()
}

// tested reports whether a request was made for a test.
func (w *world) tested(d *delivery) bool {
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	return slices.ContainsFunc(w.receivers.requests, func(r *request) bool { return r.test && w.publications[r.publication].event == d.event })
}

// checkAccepted checks that each delivery of the accepted events exists.
func (w *world) checkAccepted() {
	count := map[hook.EventID]int{}
	for _, d := range w.known {
		count[d.event]++
	}
	w.mu.Lock()
	list := slices.Clone(w.publications)
	w.mu.Unlock()
	for _, p := range list {
		if !p.at.IsZero() && count[p.event] < p.deliveries {
			w.failf("an accepted event lacks deliveries", "publication %d has %d of %d", p.n, count[p.event], p.deliveries)
		}
	}
}

// checkSequences checks that the numbers of messages are consecutive.
func (w *world) checkSequences() {
	var wrong int
	w.must(w.db.QueryRow(w.ctx, `
		select count(*) from (
			select sequence, lag(sequence) over (partition by topic_id order by sequence) as before
			from events where topic_id is not null and created_at > now() - $1::interval) e
		where before is not null and sequence <> before + 1`, retention).Scan(&wrong), "reading messages")
	if wrong > 0 {
		w.failf("a topic's numbers have gaps", "%d", wrong)
	}
}

// delivering returns the events of the running workflows.
func (w *world) delivering() map[hook.EventID]bool {
	events := map[hook.EventID]bool{}
	running := w.temporal.running()
	w.temporal.mu.Lock()
	defer w.temporal.mu.Unlock()
	for id := range running {
		if in, ok := w.temporal.runs[id].input.(contract.DeliverInput); ok {
			for _, e := range in.EventIDs {
				events[e] = true
			}
		}
	}
	return events
}

// checkLog compares the log with the requests that the receivers got: each attempt was made once, and each
// delivery counts its attempts.
func (w *world) checkLog() {
	rows, _ := w.db.Query(w.ctx, `
		select d.id from deliveries d left join (select delivery_id, count(*) as n from attempts group by 1) a on a.delivery_id = d.id
		where d.attempts <> coalesce(a.n, 0)`)
	wrong, err := pgx.CollectRows(rows, pgx.RowTo[[16]byte])
	w.must(err, "counting attempts")
	if len(wrong) > 0 {
		w.failf("a delivery counts other attempts than are in its log", "%d deliveries", len(wrong))
	}
	w.receivers.mu.Lock()
	requests := slices.Clone(w.receivers.requests)
	w.receivers.mu.Unlock()
	rows, _ = w.db.Query(w.ctx, `select delivery_id, manual, remote_addr from attempts order by delivery_id, number`)
	logged := map[int]bool{}
	byDelivery := map[hook.DeliveryID][]*request{}
	var id hook.DeliveryID
	var manual bool
	var address string
	_, err = pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &manual, &address}, func() error {
		n, err := numberOf(address)
		if err != nil || n >= len(requests) {
			w.failf("an attempt is logged that was not made", "%s", address)
		}
		if logged[n] {
			w.failf("one request is two attempts", "%s", address)
		}
		logged[n] = true
		r, d := requests[n], w.known[id]
		if d != nil && r.webhook != nil && (d.webhook != r.webhook.id || d.event != w.publications[r.publication].event) {
			w.failf("an attempt is another delivery's", "%s", address)
		}
		if !manual {
			byDelivery[id] = append(byDelivery[id], r)
		}
		return nil
	})
	w.must(err, "reading attempts")
	for id, list := range byDelivery {
		for _, success := range list {
			for _, other := range list {
				if success.succeeded && success.recorded > 0 && other != success && other.run > success.recorded {
					d := w.known[id]
					w.failf("a delivery was sent again after its success was recorded", "%s to %s", w.short(d.event.String()), w.short(d.webhook.String()))
				}
			}
		}
	}
}

// checkRevoked checks that revoked deliveries are shown as canceled at once and stay canceled.
func (w *world) checkRevoked() {
	w.noteEnded()
	p := w.client()
	w.mu.Lock()
	ended := map[hook.WebhookID]bool{}
	for _, h := range w.webhooks {
		if h.now.deleted || !h.now.active {
			ended[h.id] = true
		}
	}
	w.mu.Unlock()
	shown := map[hook.WebhookID]map[hook.DeliveryID]hook.Delivery{}
	for id, d := range w.known {
		if d.gone || d.test || !ended[d.webhook] && !d.revoked {
			continue
		}
		d.revoked = true
		if shown[d.webhook] == nil {
			shown[d.webhook] = map[hook.DeliveryID]hook.Delivery{}
			list, _, err := p.store.Deliveries(w.ctx, d.webhook, hook.DeliveryFilter{}, hook.Page{Limit: 10_000})
			w.must(err, "listing deliveries")
			for _, one := range list {
				shown[d.webhook][one.ID] = one
			}
		}
		if now := shown[d.webhook][id]; now.Outstanding() {
			w.failf("a delivery of an ended webhook does not show as canceled", "%s to %s: %s", w.short(d.event.String()), w.short(d.webhook.String()), now.State)
		}
	}
}

// startedWithin is the longest time of an event in the outbox while nothing prevents its start: the claim of a
// killed process expires after 30 s.
const startedWithin = 50 * time.Second

// checkStarted checks that accepted events are started while a process is able to.
func (w *world) checkStarted() {
	synctest.Wait()
	now := time.Now()
	if able := w.anyWorker() != nil && !w.barrier.isShut() && w.temporal.startsFine(); !able || w.calm.IsZero() {
		w.calm = time.Time{}
		if able {
			w.calm = now
		}
		return
	}
	if now.Sub(w.calm) < startedWithin {
		return
	}
	var waiting int
	w.must(w.clock.sync(), "setting the time")
	w.must(w.db.QueryRow(w.ctx, `select count(*) from outbox where created_at < now() - $1::interval`, startedWithin).Scan(&waiting), "counting the outbox")
	if waiting > 0 {
		w.failf("nobody starts what was accepted, although a process can", "%d events", waiting)
	}
}

// noteEnded finds the webhooks that the engine itself has disabled, and checks that it was allowed to.
func (w *world) noteEnded() {
	rows, _ := w.db.Query(w.ctx, `select id, disabled_reason from webhooks where not active`)
	reasons := map[hook.WebhookID]string{}
	var id hook.WebhookID
	var reason string
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &reason}, func() error {
		reasons[id] = reason
		return nil
	})
	w.must(err, "reading webhooks")
	for _, h := range w.webhooks {
		reason := reasons[h.id]
		if reason == "" || !h.now.active || h.now.deleted {
			continue
		}
		w.logf("%s is disabled: %s", h.name, reason)
		if reason == hook.ReasonFailedDays {
			w.checkFailedDays(h)
		}
		w.mu.Lock()
		h.now.active, h.ended = false, time.Now()
		w.mu.Unlock()
	}
}

// checkFailedDays checks that the engine has disabled the webhook only after five days in which its endpoint got
// requests, with failures on at least two days, at least five failures, and no success (S14).
func (w *world) checkFailedDays(h *webhook) {
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	var first time.Time
	days, failures := map[string]bool{}, 0
	for _, r := range w.receivers.requests {
		switch {
		case r.webhook != h || r.manual || r.test || r.at.Before(h.since) || r.url != h.now.url:
		case r.succeeded:
			first, days, failures = time.Time{}, map[string]bool{}, 0
		case r.failed:
			if failures++; failures == 1 {
				first = r.at
			}
			days[r.at.UTC().Format(time.DateOnly)] = true
		}
	}
	asked := time.Since(first)
	for _, p := range h.pauses {
		until := p[1]
		if until.IsZero() {
			until = time.Now()
		}
		if from := p[0]; until.After(first) {
			if from.Before(first) {
				from = first
			}
			asked -= until.Sub(from)
		}
	}
	if failures < 5 || len(days) < 2 || asked < hook.DisableAfter-time.Minute {
		w.failf("an endpoint was given up too early", "%s: %d failures on %d days in %v", h.name, failures, len(days), asked)
	}
}
