package enginetest_test

import (
	"fmt"
	"strings"
	"time"

	"pgregory.net/rapid"

	"grapnel/internal/hook"
)

// publish publishes some events, one by one or as a list.
func (w *world) publish(t *rapid.T) {
	n := rapid.SampledFrom([]int{1, 1, 1, 2, 5, 14}).Draw(t, "events")
	if w.suspended {
		return
	}
	if rapid.Bool().Draw(t, "step by step") {
		w.shut(t)
	}
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

// newPublication makes a publication whose content has its number.
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
			p.acts.Engine().Accept(start)
		}
		for _, id := range accepted[i].Undrained {
			p.drain(id)
		}
	}
}

// took notes an accepted publication.
func (w *world) took(p *process, in *hook.Publication, a *hook.Accepted) {
	number := numberIn(in.Data)
	w.mu.Lock()
	known := w.publications[number]
	first := known.at.IsZero()
	if first {
		known.event, known.cache, known.at, known.deliveries = a.Event.ID, in.Cache, time.Now(), a.Event.Deliveries
	}
	same := known.event == a.Event.ID
	if !a.Owner.IsZero() { // a duplicate's answer has none
		known.owner = a.Owner
	}
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
