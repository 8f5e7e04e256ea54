package enginetest_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

const (
	typeA, typeB = "a.created", "b.updated"
	cacheName    = "cache"
	topicName    = "topic"
)

// subscribe creates the sequence's webhooks.
func (w *world) subscribe() {
	_, err := w.db.Exec(w.ctx, `update tenants set status = 'active'`) // an earlier sequence may have suspended it
	w.must(err, "resetting the tenant")
	w.create(&webhook{name: "standard", profile: hook.ProfileStandard}, []string{typeA}, 0)
	w.create(&webhook{name: "patterns", profile: hook.ProfileStandard}, []string{"*"}, 0)
	w.create(&webhook{name: "limited", profile: hook.ProfileStandard}, []string{typeB}, 3)
	w.create(&webhook{name: "commenda", profile: hook.ProfileCommenda}, []string{typeA, typeB}, 0)
	w.create(&webhook{name: "momento", profile: hook.ProfileMomento, cache: cacheName}, []string{topicName}, 0)
}

// create creates one webhook, with the rate limit if it is not 0.
func (w *world) create(h *webhook, events []string, limit int) {
	h.now = state{active: true, suspended: w.suspended, url: w.newURL(h), secret: "secret-" + h.name}
	h.behaves, h.since = answersOK, time.Now()
	if w.suspended {
		h.pauses = append(h.pauses, [2]time.Time{time.Now(), {}})
	}
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

// living returns the processes that are alive; there is at least one.
func (w *world) living() []*process {
	living := slices.DeleteFunc(slices.Clone(w.processes), (*process).isDead)
	if len(living) == 0 {
		w.restart(0)
		living = w.processes[:1]
	}
	return living
}

// client returns a process that handles clients' requests.
func (w *world) client() *process { return w.living()[0] }

// oneOf draws a living process.
func (w *world) oneOf(t *rapid.T) *process {
	living := w.living()
	return living[rapid.IntRange(0, len(living)-1).Draw(t, "process")]
}

func (w *world) drawWebhook(t *rapid.T) *webhook {
	return w.webhooks[rapid.IntRange(0, len(w.webhooks)-1).Draw(t, "webhook")]
}

// actions returns the actions of which a sequence is drawn.
func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"":                 w.check,
		"publish":          w.publish,
		"publish again":    w.publish,
		"change":           func(t *rapid.T) { w.change(w.oneOf(t), w.drawWebhook(t), w.drawChange(t)) },
		"change again":     func(t *rapid.T) { w.change(w.oneOf(t), w.drawWebhook(t), w.drawChange(t)) },
		"at once":          w.atOnce,
		"suspend":          w.suspend,
		"receiver":         w.receiver,
		"receiver again":   w.receiver,
		"retry":            w.retry,
		"test":             w.test,
		"replay":           w.replay,
		"change a replay":  w.changeReplay,
		"pass":             w.pass,
		"pass again":       w.pass,
		"pass long":        w.passLong,
		"kill":             w.kill,
		"stall":            w.stall,
		"starts":           w.fate,
		"outage":           w.outage,
		"deploy":           w.deploy,
		"temporal":         w.disturb,
		"shut the barrier": w.shut,
		"open the barrier": func(*rapid.T) { w.logf("the barrier is open"); w.barrier.open() },
		"let through":      w.letThrough,
		"let some":         w.letSome,
		"let some again":   w.letSome,
		"let some more":    w.letSome,
	}
}

// shut closes the barrier.
func (w *world) shut(*rapid.T) {
	w.logf("the barrier is shut")
	w.barrier.close()
	w.calm = time.Time{}
}

// letSome lets operations that are held at the barrier pass, one after the other.
func (w *world) letSome(t *rapid.T) {
	for range rapid.IntRange(1, 12).Draw(t, "times") {
		w.letThrough(t)
	}
}

// letThrough lets one or several of the operations at the barrier pass at once.
func (w *world) letThrough(t *rapid.T) {
	synctest.Wait()
	if w.barrier.waiting() == 0 {
		return
	}
	n := 1
	if rapid.IntRange(0, 4).Draw(t, "several") == 0 {
		n = 4
	}
	var lost error
	if rapid.IntRange(0, 5).Draw(t, "lost") == 0 {
		lost = hook.Unavailable("the store", errors.New("no answer"))
	}
	what := w.barrier.release(rapid.IntRange(0, 20).Draw(t, "place"), n, lost)
	w.logf("let through: %s%s", strings.Join(what, ", "), map[bool]string{true: ", and lost"}[lost != nil])
	time.Sleep(2 * opTime) //nolint:forbidigo // skipped time: the operations take that long
	synctest.Wait()
}

// atOnce has several clients make requests at the same time, while some operations pass the barrier.
func (w *world) atOnce(t *rapid.T) {
	var group sync.WaitGroup
	var doing []func()
	changed := map[*webhook]bool{}
	for range rapid.IntRange(2, 5).Draw(t, "clients") {
		p := w.oneOf(t)
		if rapid.Bool().Draw(t, "publishes") {
			if w.suspended {
				continue
			}
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
	w.barrier.release(rapid.IntRange(0, 20).Draw(t, "place"), rapid.IntRange(0, 8).Draw(t, "released"), nil)
	group.Wait()
	if failed != nil {
		panic(failed)
	}
}
