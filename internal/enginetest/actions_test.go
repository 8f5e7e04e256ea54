package enginetest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"grapnel/internal/dispatch"
	"grapnel/internal/hook"
)

const (
	typeA, typeB = "a.created", "b.updated"
	cacheName    = "cache"
	topicName    = "topic"
)

// subscribe makes the webhooks.
func (w *world) subscribe() {
	w.create(&webhook{name: "standard", profile: hook.ProfileStandard}, []string{typeA}, 0)
	w.create(&webhook{name: "patterns", profile: hook.ProfileStandard}, []string{"*"}, 0)
	w.create(&webhook{name: "limited", profile: hook.ProfileStandard}, []string{typeB}, 3)
	w.create(&webhook{name: "commenda", profile: hook.ProfileCommenda}, []string{typeA, typeB}, 0)
	w.create(&webhook{name: "momento", profile: hook.ProfileMomento, cache: cacheName}, []string{topicName}, 0)
}

// create makes one.
func (w *world) create(h *webhook, events []string, limit int) {
	h.now = state{active: true, url: w.newURL(h), secret: "secret-" + h.name}
	h.behaves, h.since = answersOK, time.Now()
	stored := hook.Webhook{
		TenantID: hook.DefaultTenant(), Profile: h.profile, URL: h.now.url, Events: events, Secret: hook.Secret(h.now.secret), Active: true,
		RateLimit: limit, Cache: h.cache,
	}
	if h.cache != "" {
		stored.Name = h.name + fmt.Sprint(len(w.webhooks))
	}
	stored.Normalize()
	w.must(w.clock.sync(), "setting the time")
	made, err := w.client().store.CreateWebhook(w.ctx, stored)
	w.must(err, "creating a webhook")
	h.id = made.ID
	w.mu.Lock()
	w.webhooks = append(w.webhooks, h)
	w.mu.Unlock()
	w.name(h.id, "%s", h.name)
}

func (w *world) newURL(h *webhook) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.changes++
	url := fmt.Sprintf("https://%s-%d-%d.example/hook", h.name, len(w.urls), h.changes)
	w.urls[url] = h
	return url
}

// living are the processes that live; there is at least one.
func (w *world) living() []*process {
	living := slices.DeleteFunc(slices.Clone(w.processes), (*process).isDead)
	if len(living) == 0 {
		w.restart(0)
		living = w.processes[:1]
	}
	return living
}

// client is a process that takes requests.
func (w *world) client() *process { return w.living()[0] }

// oneOf draws a process that lives.
func (w *world) oneOf(t *rapid.T) *process {
	living := w.living()
	return living[rapid.IntRange(0, len(living)-1).Draw(t, "process")]
}

func (w *world) drawWebhook(t *rapid.T) *webhook {
	return w.webhooks[rapid.IntRange(0, len(w.webhooks)-1).Draw(t, "webhook")]
}

// actions are what may happen.
func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":                w.check,
		"publish":         w.publish,
		"publish again":   w.publish,
		"change":          func(t *rapid.T) { w.change(w.oneOf(t), w.drawWebhook(t), w.drawChange(t)) },
		"change again":    func(t *rapid.T) { w.change(w.oneOf(t), w.drawWebhook(t), w.drawChange(t)) },
		"at once":         w.atOnce,
		"receiver":        w.receiver,
		"receiver again":  w.receiver,
		"retry":           w.retry,
		"test":            w.test,
		"replay":          w.replay,
		"change a replay": w.changeReplay,
		"pass":            w.pass,
		"pass again":      w.pass,
		"pass long":       w.passLong,
		"kill":            w.kill,
		"outage":          w.outage,
		"deploy":          w.deploy,
		"temporal":        w.disturb,
		"shut the gate":   func(*rapid.T) { w.logf("the gate is shut"); w.gate.close(); w.calm = time.Time{} },
		"open the gate":   func(*rapid.T) { w.logf("the gate is open"); w.gate.open() },
		"let through":     w.letThrough,
		"let some through": func(t *rapid.T) {
			for range rapid.IntRange(1, 12).Draw(t, "times") {
				w.letThrough(t)
			}
		},
	}
}

// letThrough lets one or several of those that wait at the gate go on at once.
func (w *world) letThrough(t *rapid.T) {
	synctest.Wait()
	if w.gate.waiting() == 0 {
		return
	}
	n := 1
	if rapid.IntRange(0, 4).Draw(t, "several") == 0 {
		n = 4
	}
	var lost error
	if rapid.IntRange(0, 11).Draw(t, "lost") == 0 {
		lost = hook.Unavailable("the store", errors.New("no answer"))
	}
	what := w.gate.release(rapid.IntRange(0, 20).Draw(t, "place"), n, lost)
	w.logf("let through: %s%s", strings.Join(what, ", "), map[bool]string{true: ", and lost"}[lost != nil])
	time.Sleep(2 * opTime) //nolint:forbidigo // skipped time: what was let through takes that
	synctest.Wait()
}

// publish accepts some events, alone or together.
func (w *world) publish(t *rapid.T) {
	n := rapid.SampledFrom([]int{1, 1, 1, 2, 5, 14}).Draw(t, "events")
	w.accept(w.oneOf(t), w.drawPublications(t, n))
}

func (w *world) drawPublications(t *rapid.T, n int) []hook.Publication {
	kind := rapid.SampledFrom([]string{"a", "b", "message", "large", "keyed"}).Draw(t, "kind")
	var list []hook.Publication
	for range n {
		list = append(list, w.newPublication(kind))
	}
	return list
}

// newPublication makes one, whose content names it.
func (w *world) newPublication(kind string) hook.Publication {
	w.mu.Lock()
	defer w.mu.Unlock()
	number := len(w.publications)
	w.publications = append(w.publications, &publication{n: number})
	p := hook.Publication{TenantID: hook.DefaultTenant(), Type: typeA, Data: fmt.Appendf(nil, `{"n":%d}`, number)}
	switch kind {
	case "b":
		p.Type = typeB
	case "message":
		p.Type, p.Cache, p.Data = topicName, cacheName, fmt.Appendf(nil, `"%d|text"`, number)
	case "large":
		p.Data = fmt.Appendf(nil, `{"n":%d,"pad":"%s"}`, number, strings.Repeat("x", 5000))
	case "keyed":
		p.IdempotencyKey = fmt.Sprintf("key-%d", number)
	}
	return p
}

// accept publishes as the API does.
func (w *world) accept(p *process, list []hook.Publication) {
	w.must(w.clock.sync(), "setting the time")
	accepted, errs := p.store.PublishAll(w.ctx, list)
	for i := range accepted {
		w.must(errs[i], "publishing")
		w.took(p, &list[i], &accepted[i])
		if start, ok := accepted[i].Start(); ok {
			p.dispatch(start)
		}
		for _, id := range accepted[i].Undrained {
			p.drain(id)
		}
	}
}

// took notes what was accepted.
func (w *world) took(p *process, in *hook.Publication, a *hook.Accepted) {
	number := numberIn(in.Data)
	w.mu.Lock()
	known := w.publications[number]
	first := known.at.IsZero()
	if first {
		known.event, known.cache, known.at, known.deliveries = a.Event.ID, in.Cache, time.Now(), a.Event.Deliveries
	}
	same := known.event == a.Event.ID
	w.mu.Unlock()
	if !first && !same {
		w.failf("an idempotency key stands for two events", "publication %d", number)
	}
	w.name(a.Event.ID, "e%d", number)
	w.logf("%s accepts publication %d of %s: %d deliveries", p.name, number, in.Type, a.Event.Deliveries)
}

func numberIn(data []byte) (n int) {
	text := strings.TrimLeft(string(data), `{"n:`)
	_, _ = fmt.Sscanf(text, "%d", &n)
	return n
}

// atOnce has several clients ask at the same time, while what waits at the gate goes on.
func (w *world) atOnce(t *rapid.T) {
	var group sync.WaitGroup
	var doing []func()
	changed := map[*webhook]bool{}
	for range rapid.IntRange(2, 5).Draw(t, "clients") {
		p := w.oneOf(t)
		if rapid.Bool().Draw(t, "publishes") {
			list := w.drawPublications(t, rapid.IntRange(1, 3).Draw(t, "events"))
			doing = append(doing, func() { w.accept(p, list) })
			if list[0].IdempotencyKey != "" && rapid.Bool().Draw(t, "twice") {
				q := w.oneOf(t)
				doing = append(doing, func() { w.accept(q, list) })
			}
			continue
		}
		h, c := w.drawWebhook(t), w.drawChange(t)
		if !changed[h] {
			changed[h] = true
			doing = append(doing, func() { w.change(p, h, c) })
		}
	}
	var failed any
	var mu sync.Mutex
	for _, f := range doing {
		group.Go(func() {
			defer func() {
				if r := recover(); r != nil {
					mu.Lock()
					defer mu.Unlock()
					failed = r
				}
			}()
			f()
		})
	}
	w.gate.release(rapid.IntRange(0, 20).Draw(t, "place"), rapid.IntRange(0, 8).Draw(t, "released"), nil)
	group.Wait()
	if failed != nil {
		panic(failed)
	}
}

func (w *world) drawChange(t *rapid.T) string {
	return rapid.SampledFrom([]string{"pause", "resume", "disable", "enable", "rotate", "move", "delete", "resume", "enable"}).Draw(t, "change")
}

// change asks for a change of a webhook, and knows afterwards what must hold.
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

// changed says that a change was answered; the world's lock is held.
func (h *webhook) changed(next *state) {
	if next.active {
		h.ended = time.Time{}
	}
	if next.active && !h.now.active || next.url != h.now.url {
		h.since = time.Now()
	}
	switch n := len(h.pauses) - 1; {
	case next.paused && !h.now.paused:
		h.pauses = append(h.pauses, [2]time.Time{time.Now(), {}})
	case !next.paused && h.now.paused:
		h.pauses[n][1] = time.Now()
	}
	h.now, h.next = *next, nil
}

// receiver has one behave otherwise.
func (w *world) receiver(t *rapid.T) {
	h := w.drawWebhook(t)
	b := rapid.SampledFrom([]behaviour{answersOK, answersOK, answersSlowly, fails, asksToWait, isGone, refuses, refuses, hangs}).Draw(t, "behaviour")
	w.logf("the receiver of %s: %s", h.name, b)
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	h.behaves = b
}

// retry sends one by hand.
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

// test sends a test.
func (w *world) test(t *rapid.T) {
	h, p := w.drawWebhook(t), w.oneOf(t)
	if h.now.deleted {
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
			_ = w.clock.sync()                                          // as below
			_ = p.store.DropTest(context.WithoutCancel(w.ctx), d) // what stays is canceled later
		}
	})
}

// byHand has a delivery sent, and waits for the outcome.
func (w *world) byHand(p *process, d hook.Delivery) error {
	err := (&dispatch.SendNow{Temporal: way{w.temporal, p}}).Send(p.ctx, d)
	w.logf("%s: sending %s by hand ends: %v", p.name, w.short(d.EventID.String()), err)
	return err
}

// replay sends what there was again.
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
	w.name(r.ID, "replay%d", len(w.replays))
	w.logf("%s: replay %d of %s to %s", p.name, len(w.replays), status, h.name)
	p.replay(r.ID)
}

// changeReplay pauses, resumes or cancels one.
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

// pass lets a little time pass.
func (w *world) pass(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		10 * time.Millisecond, 100 * time.Millisecond, 600 * time.Millisecond, 2 * time.Second, 5 * time.Second, 12 * time.Second, 35 * time.Second, time.Minute,
	}).Draw(t, "time")
	w.logf("%s pass", d)
	time.Sleep(d) //nolint:forbidigo // skipped time
	w.checkStarted()
}

// passLong lets much pass: the gate is open, and the loops rest for most of it.
func (w *world) passLong(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		3 * time.Minute, 6 * time.Minute, 12 * time.Minute, 35 * time.Minute, 2*time.Hour + 5*time.Minute, 25 * time.Hour, 6 * 24 * time.Hour,
	}).Draw(t, "time")
	w.logf("%s pass", d)
	w.gate.open()
	w.elapse(d, 6)
}

// elapse lets time pass in parts, between which the loops run for a while.
func (w *world) elapse(d time.Duration, parts int) {
	const awake = 12 * time.Second
	part := max(d/time.Duration(parts)-awake, 0)
	for range parts {
		for _, p := range w.processes {
			p.pause()
		}
		time.Sleep(part) //nolint:forbidigo // skipped time
		for _, p := range w.processes {
			w.must(p.start(), "starting the loops")
		}
		w.calm = time.Time{}
		time.Sleep(awake) //nolint:forbidigo // skipped time
	}
}

// kill kills a process, and starts it anew, at once or later.
func (w *world) kill(t *rapid.T) {
	i := rapid.IntRange(0, len(w.processes)-1).Draw(t, "process")
	p := w.processes[i]
	if p.isDead() {
		w.restart(i)
		return
	}
	w.logf("%s is killed", p.name)
	p.die()
	w.calm = time.Time{}
	synctest.Wait()
	w.dead = append(w.dead, p)
	if rapid.IntRange(0, 2).Draw(t, "later") > 0 {
		w.restart(i)
	}
}

// deploy stops a worker as an operator does, or as it stops when Temporal has lost its
// namespace: what it has begun ends, and what that was is in the log.
func (w *world) deploy(t *rapid.T) {
	i := rapid.IntRange(0, len(w.processes)-1).Draw(t, "process")
	p := w.processes[i]
	if p.isDead() {
		return
	}
	w.gate.open()
	w.calm = time.Time{}
	w.logf("%s: its worker stops", p.name)
	p.rest()
	if rapid.Bool().Draw(t, "again") {
		w.logf("%s: its worker runs again", p.name)
		p.again()
		return
	}
	p.pause()
	synctest.Wait()
	w.checkStopped(p)
	p.die()
	synctest.Wait()
	w.dead = append(w.dead, p)
	w.restart(i)
}

// checkStopped holds that a process that was stopped leaves no request out of the log.
func (w *world) checkStopped(p *process) {
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	for _, r := range w.receivers.requests {
		if r.p == p && r.recorded == 0 && !r.stalled && r.webhook != nil && !w.forgotten(r) {
			w.failf("a request is not in the log of a process that was stopped", "publication %d to %s", r.publication, r.webhook.name)
		}
	}
}

// outage has a receiver refuse for long enough for the breaker to trip, and for what it
// has then to be tried several times.
func (w *world) outage(t *rapid.T) {
	h := w.drawWebhook(t)
	kind := map[string]string{"limited": "b", "momento": "message"}[h.name]
	if kind == "" {
		kind = "a"
	}
	w.gate.open()
	w.receivers.mu.Lock()
	h.behaves = rapid.SampledFrom([]behaviour{refuses, hangs}).Draw(t, "behaviour")
	w.receivers.mu.Unlock()
	w.logf("the receiver of %s: %s, for a while", h.name, h.behaves)
	var list []hook.Publication
	for range rapid.SampledFrom([]int{3, 12}).Draw(t, "events") {
		list = append(list, w.newPublication(kind))
	}
	w.accept(w.oneOf(t), list)
	time.Sleep(40 * time.Second) //nolint:forbidigo // skipped time
	w.check(t)
	w.elapse(rapid.SampledFrom([]time.Duration{time.Minute, 12 * time.Minute, 40 * time.Minute}).Draw(t, "time"), 4)
	if rapid.Bool().Draw(t, "more") {
		w.accept(w.oneOf(t), []hook.Publication{w.newPublication(kind)})
	}
}

// disturb does something to Temporal.
func (w *world) disturb(t *rapid.T) {
	what := rapid.SampledFrom([]string{"away", "back", "back", "lost", "cut", "mended", "mended"}).Draw(t, "temporal")
	w.logf("Temporal: %s", what)
	if what != "cut" || len(w.living()) == 1 {
		w.calm = time.Time{}
	}
	switch what {
	case "away", "back":
		w.temporal.change(func() { w.temporal.away = what == "away" })
	case "lost":
		w.temporal.lose()
		w.mu.Lock()
		w.lost = time.Now()
		w.mu.Unlock()
	case "cut", "mended":
		p := w.oneOf(t)
		w.temporal.change(func() { p.cut = what == "cut" })
	}
}
