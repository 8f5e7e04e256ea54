package enginetest_test

import (
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// receiver changes the behaviour of a receiver.
func (w *world) receiver(t *rapid.T) {
	h := w.drawWebhook(t)
	b := rapid.SampledFrom([]behaviour{answersOK, answersOK, answersSlowly, fails, asksToWait, isGone, refuses, refuses, hangs}).Draw(t, "behaviour")
	w.logf("the receiver of %s: %s", h.name, b)
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	h.behaves = b
}

// pass lets a short time pass.
func (w *world) pass(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		10 * time.Millisecond, 100 * time.Millisecond, 600 * time.Millisecond, 2 * time.Second, 5 * time.Second, 12 * time.Second, 35 * time.Second, time.Minute,
	}).Draw(t, "time")
	w.logf("%s pass", d)
	time.Sleep(d) //nolint:forbidigo // skipped time
	w.checkStarted()
}

// passLong lets a long time pass: the barrier is open, and the loops are stopped for most of it.
func (w *world) passLong(t *rapid.T) {
	d := rapid.SampledFrom([]time.Duration{
		3 * time.Minute, 6 * time.Minute, 12 * time.Minute, 35 * time.Minute, 2*time.Hour + 5*time.Minute, 25 * time.Hour, 6 * 24 * time.Hour,
	}).Draw(t, "time")
	w.logf("%s pass", d)
	w.barrier.open()
	w.elapse(d, 6)
}

// elapse lets d pass in parts. At the end of each part the loops run for a while.
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

// kill kills a process and restarts it, at once or later.
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

// deploy stops a worker as an operator does, or as it stops when Temporal has lost its namespace: its running
// activities end, and their results are in the log.
func (w *world) deploy(t *rapid.T) {
	i := rapid.IntRange(0, len(w.processes)-1).Draw(t, "process")
	p := w.processes[i]
	if p.isDead() {
		return
	}
	w.barrier.open()
	w.calm = time.Time{}
	w.logf("%s: its worker stops", p.name)
	again := rapid.Bool().Draw(t, "again")
	if !again {
		p.finish()
	}
	p.rest()
	if again {
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

// checkStopped checks that all requests of a process that was stopped are in the log.
func (w *world) checkStopped(p *process) {
	w.receivers.mu.Lock()
	defer w.receivers.mu.Unlock()
	for _, r := range w.receivers.requests {
		if r.p == p && r.recorded == 0 && !r.stalled && r.webhook != nil && !w.forgotten(r) {
			w.failf("a request is not in the log of a process that was stopped", "publication %d to %s", r.publication, r.webhook.name)
		}
	}
}

// outage makes a receiver refuse requests for long enough to open the breaker, and then to try its deliveries
// several times.
func (w *world) outage(t *rapid.T) {
	h := w.drawWebhook(t)
	kind := map[string]string{"limited": "b", "momento": "message"}[h.name]
	if kind == "" {
		kind = "a"
	}
	w.barrier.open()
	w.setSuspended(w.client(), false)
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

// disturb disturbs Temporal.
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
