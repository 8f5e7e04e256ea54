package enginetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

func (w *world) drawChange(t *rapid.T) string {
	return rapid.SampledFrom([]string{"pause", "resume", "disable", "enable", "rotate", "move", "delete", "resume", "enable"}).Draw(t, "change")
}

// change has a client change a webhook, and notes what must hold after the answer.
func (w *world) change(p *process, h *webhook, what string) {
	next := h.now
	apply := func(*hook.Webhook) error { return nil }
	switch what {
	case "pause", "resume":
		next.paused = what == "pause"
		apply = func(s *hook.Webhook) error {
			s.Pause(next.paused, time.Now().UTC().Truncate(time.Microsecond))
			return nil
		}
	case "disable", "enable":
		next.active = what == "enable"
		apply = func(s *hook.Webhook) error {
			switch {
			case next.active && !s.Active:
				s.Active, s.DisabledReason, s.Health = true, "", hook.HealthHealthy
			case !next.active && s.Active:
				s.Active, s.DisabledReason = false, hook.ReasonByClient
			}
			return nil
		}
	case "rotate":
		w.mu.Lock()
		h.changes++
		next.secret = fmt.Sprintf("secret-%s-%d", h.name, h.changes)
		w.mu.Unlock()
		apply = func(s *hook.Webhook) error { s.Replace(hook.Secret(next.secret)); return nil }
	case "move":
		next.url = w.newURL(h)
		apply = func(s *hook.Webhook) error { s.URL = next.url; return nil }
	case "delete":
		next.deleted = true
	}
	if h.now.deleted {
		return
	}
	w.logf("%s: %s %s", p.name, what, h.name)
	w.mu.Lock()
	h.next = &next
	w.mu.Unlock()
	w.must(w.clock.sync(), "setting the time")
	var err error
	if next.deleted {
		err = p.store.DeleteWebhook(w.ctx, hook.DefaultTenant(), h.id)
	} else {
		_, err = p.store.UpdateWebhook(w.ctx, hook.DefaultTenant(), h.id, apply)
	}
	w.must(err, "changing a webhook")
	w.mu.Lock()
	h.changed(&next)
	w.mu.Unlock()
	w.logf("%s: %s %s is answered", p.name, what, h.name)
	if next.deleted {
		events := map[string][]string{"standard": {typeA}, "patterns": {"*"}, "limited": {typeB}, "commenda": {typeA, typeB}, "momento": {topicName}}
		w.create(&webhook{name: h.name, profile: h.profile, cache: h.cache}, events[h.name], map[string]int{"limited": 3}[h.name])
	}
}

// changed notes that a change was answered; the caller holds the world's lock.
func (h *webhook) changed(next *state) {
	if next.active {
		h.ended = time.Time{}
	}
	if next.active && !h.now.active || next.url != h.now.url {
		h.since = time.Now()
	}
	switch n := len(h.pauses) - 1; {
	case next.held() && !h.now.held():
		h.pauses = append(h.pauses, [2]time.Time{time.Now(), {}})
	case !next.held() && h.now.held():
		h.pauses[n][1] = time.Now()
	}
	h.now, h.next = *next, nil
}

// suspend has the platform suspend the tenant, or make it active again (K8).
func (w *world) suspend(t *rapid.T) {
	w.setSuspended(w.oneOf(t), rapid.Bool().Draw(t, "suspended"))
}

func (w *world) setSuspended(p *process, on bool) {
	if on == w.suspended {
		return
	}
	w.logf("%s: the tenant is to be suspended: %v", p.name, on)
	w.mu.Lock()
	for _, h := range w.webhooks {
		next := h.now
		next.suspended = on
		h.next = &next
	}
	w.mu.Unlock()
	w.must(w.clock.sync(), "setting the time")
	_, err := p.store.UpdateTenant(w.ctx, "default", func(t *hook.Tenant) error {
		if t.Status = hook.TenantActive; on {
			t.Status = hook.TenantSuspended
		}
		return nil
	})
	w.must(err, "changing the tenant")
	w.mu.Lock()
	for _, h := range w.webhooks {
		h.changed(h.next)
	}
	w.suspended = on
	w.mu.Unlock()
	w.logf("%s: that is answered", p.name)
	if on {
		_, err := p.store.Publish(w.ctx, hook.Publication{TenantID: hook.DefaultTenant(), Type: typeA, Data: []byte(`{}`)})
		if hook.KindOf(err) != hook.KindSuspended {
			w.failf("a suspended tenant publishes", "%v", err)
		}
	}
}

// retry has a client retry a delivery by hand.
func (w *world) retry(t *rapid.T) {
	var ids []hook.DeliveryID
	for id, d := range w.known {
		if !d.gone && !d.test {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.SortFunc(ids, func(a, b hook.DeliveryID) int { return strings.Compare(a.String(), b.String()) })
	id, p := ids[rapid.IntRange(0, len(ids)-1).Draw(t, "delivery")], w.oneOf(t)
	w.must(w.clock.sync(), "setting the time")
	d, err := p.store.Delivery(w.ctx, hook.DefaultTenant(), id)
	if hook.KindOf(err) == hook.KindNotFound {
		return
	}
	w.must(err, "reading a delivery")
	w.logf("%s: retry of a delivery of %s to %s by hand", p.name, w.short(d.EventID.String()), w.short(d.WebhookID.String()))
	w.clients.Go(func() { _ = w.byHand(p, d) })
}

// test has a client send a test.
func (w *world) test(t *rapid.T) {
	h, p := w.drawWebhook(t), w.oneOf(t)
	if h.now.deleted || w.suspended {
		return
	}
	kind := "a"
	if h.cache != "" {
		kind = "message"
	}
	in := w.newPublication(kind)
	number := numberIn(in.Data)
	w.must(w.clock.sync(), "setting the time")
	stored, err := p.store.Webhook(w.ctx, hook.DefaultTenant(), h.id)
	w.must(err, "reading a webhook")
	w.mu.Lock()
	w.publications[number].test, w.publications[number].at = true, time.Now()
	w.mu.Unlock()
	d, err := p.store.CreateTest(w.ctx, stored, in)
	w.must(err, "making a test")
	w.mu.Lock()
	w.publications[number].event, w.publications[number].deliveries = d.EventID, 1
	w.mu.Unlock()
	w.name(d.EventID, "e%d", number)
	w.logf("%s: test of %s, publication %d", p.name, h.name, number)
	w.clients.Go(func() {
		if err := w.byHand(p, d); errors.Is(err, hook.ErrNotSent) && !p.isDead() {
			_ = w.clock.sync()                                    // as above
			_ = p.store.DropTest(context.WithoutCancel(w.ctx), d) // if this fails, the test is canceled later
		}
	})
}

// byHand sends a delivery by hand and returns the result.
func (w *world) byHand(p *process, d hook.Delivery) error {
	send, err := dispatch.NewSendNow(way{w.temporal, p}, nil)
	w.must(err, "building what sends by hand")
	err = send.Send(p.ctx, d)
	w.logf("%s: sending %s by hand ends: %v", p.name, w.short(d.EventID.String()), err)
	return err
}

// replay has a client replay a webhook's events.
func (w *world) replay(t *rapid.T) {
	h, p := w.drawWebhook(t), w.oneOf(t)
	if h.now.deleted {
		return
	}
	status := hook.ReplayMissing
	if h.profile != hook.ProfileMomento {
		status = rapid.SampledFrom([]hook.ReplayStatus{hook.ReplayAll, hook.ReplayFailed, hook.ReplayMissing}).Draw(t, "status")
	}
	w.must(w.clock.sync(), "setting the time")
	r, err := p.store.CreateReplay(w.ctx, hook.Replay{
		TenantID: hook.DefaultTenant(), WebhookID: h.id, Status: status, Since: w.began, Until: time.Now(),
		Rate: rapid.SampledFrom([]int{1, 3, 100}).Draw(t, "rate"),
	})
	if hook.KindOf(err) == hook.KindConflict {
		return
	}
	w.must(err, "making a replay")
	w.replays = append(w.replays, r.ID)
	w.replayed.Store(true)
	w.name(r.ID, "replay%d", len(w.replays))
	w.logf("%s: replay %d of %s to %s", p.name, len(w.replays), status, h.name)
	p.replay(r.ID)
}

// changeReplay pauses, resumes or cancels a replay.
func (w *world) changeReplay(t *rapid.T) {
	if len(w.replays) == 0 {
		return
	}
	id, p := w.replays[rapid.IntRange(0, len(w.replays)-1).Draw(t, "replay")], w.oneOf(t)
	to := rapid.SampledFrom([]hook.ReplayState{hook.ReplayPaused, hook.ReplayRunning, hook.ReplayCanceled}).Draw(t, "state")
	w.setReplay(p, id, to)
}

func (w *world) setReplay(p *process, id hook.ReplayID, to hook.ReplayState) {
	w.must(w.clock.sync(), "setting the time")
	_, err := p.store.UpdateReplay(w.ctx, hook.DefaultTenant(), id, func(r *hook.Replay) error {
		if r.Ended() {
			return &hook.Error{Kind: hook.KindPrecondition}
		}
		r.State = to
		return nil
	})
	if hook.KindOf(err) == hook.KindPrecondition || hook.KindOf(err) == hook.KindNotFound {
		return
	}
	w.must(err, "changing a replay")
	w.logf("%s: %s is %s", p.name, w.short(id.String()), to)
}
