package topics

import (
	"context"
	"fmt"
	"iter"
	"time"

	"grapnel/internal/hook"
)

// Bounds of one batch of messages, in number and in bytes of text.
const (
	mostMessages = 100
	mostBytes    = 1 << 20
)

// readTimeout bounds a reading, which goes on when the first who asked has gone.
const readTimeout = 10 * time.Second

// Follow yields the topic's items from a place on as they come, until ctx ends or
// the store fails; nothing, when none has come for the time of quiet. Who wants
// what is yet to come has the place where the topic is when the iteration begins.
// Those who are far behind, and slow, hold so many batches at most; the others go
// on with a message at a time.
func (h *Hub) Follow(ctx context.Context, id hook.TopicID, from hook.Cursor, quiet time.Duration) iter.Seq2[[]hook.Item, error] {
	return func(yield func([]hook.Item, error) bool) {
		h.enter(id)
		defer h.leave(id)
		f := follower{next: from.Next, page: from.Page}
		timer := time.NewTimer(quiet)
		defer timer.Stop()
		for live := false; ; {
			version, changed := h.state(id)
			s := h.step(ctx, id, &f, version, live, yield)
			live = false
			switch s {
			case stepEnds:
				return
			case stepAgain:
				continue
			case stepYielded:
				timer.Reset(quiet)
				continue
			case stepNothing:
			}
			select {
			case <-changed:
				live = true
			case <-timer.C:
				if !yield(nil, nil) {
					return
				}
				timer.Reset(quiet)
			case <-ctx.Done():
				return
			}
		}
	}
}

// step is what a reading came to.
type step int

const (
	stepEnds    step = iota
	stepAgain        // from a place that is known only now
	stepYielded      // there were items, and there may be more
	stepNothing      // nothing has come yet
)

// step reads and yields what there is. While it is being yielded, it is in memory; what
// those get who are live, which was waited for, is the same for all of them, and little.
func (h *Hub) step(ctx context.Context, id hook.TopicID, f *follower, version uint64, live bool, yield func([]hook.Item, error) bool) step {
	bytes := mostBytes
	if f.next > 0 && !live {
		var release func()
		bytes, release = h.share()
		defer release()
	}
	messages, err := h.read(ctx, id, f.next, version, bytes)
	if err != nil {
		if ctx.Err() == nil {
			yield(nil, err)
		}
		return stepEnds
	}
	items, again := f.take(messages)
	switch {
	case again:
		return stepAgain
	case len(items) == 0:
		return stepNothing
	case yield(items, nil):
		return stepYielded
	}
	return stepEnds
}

// share is how many bytes of messages a follower may hold until release: a batch while
// there is room for it, and otherwise one message, whatever its size, so that nobody
// waits for those who read slowly.
func (h *Hub) share() (bytes int, release func()) {
	select {
	case h.batches <- struct{}{}:
		return mostBytes, func() { <-h.batches }
	default:
		return 1, func() {}
	}
}

// read reads once for all who want the same of the same version: a thousand who
// wait for one message are one query.
func (h *Hub) read(ctx context.Context, id hook.TopicID, from int64, version uint64, bytes int) (hook.Messages, error) {
	read := h.reads.DoChan(fmt.Sprintf("%s/%d/%d/%d", id, from, version, bytes), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		messages, err := h.Store.Messages(ctx, hook.MessageQuery{
			Topic: id, From: from, Limit: mostMessages, Bytes: bytes, Age: h.Age, Newest: h.Newest,
		})
		if err == nil {
			h.seen(id, version, messages.Last)
		}
		return messages, err
	})
	select {
	case r := <-read:
		if r.Err != nil {
			return hook.Messages{}, r.Err
		}
		return r.Val.(hook.Messages), nil
	case <-ctx.Done():
		return hook.Messages{}, ctx.Err()
	}
}

// seen spares looking from waking those who have read already. The first reading
// of a version says what everybody who was woken for it will find; a later one that
// finds more has found what nobody was told of, and tells them.
func (h *Hub) seen(id hook.TopicID, version uint64, last int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.followed[id]
	switch {
	case t == nil || version < t.readAt:
	case version > t.readAt:
		t.readAt, t.last = version, last
	case last != t.last:
		t.last = last
		h.wake(id)
	}
}

// follower is where one subscriber is.
type follower struct {
	// next is the number of the message wanted next; 0 until the place is known.
	next int64
	// page is the page that next counts on; 0 until it is known.
	page int64
	// lost says that a gap is still to be told, which begins after gapAfter.
	lost     bool
	gapAfter int64
}

// take makes items of what was read and moves on; again asks for another reading,
// from a place that is known only now.
func (f *follower) take(m hook.Messages) (items []hook.Item, again bool) {
	if f.next == 0 {
		f.next = m.Last + 1
		f.page = m.Page
		return nil, false
	}
	if f.page != 0 && m.Page != 0 && f.page != m.Page {
		// The topic is another than the one that was read before: all of it is new.
		f.lost, f.gapAfter = true, f.next-1
		f.next, f.page = 1, m.Page
		return nil, true
	}
	for _, message := range m.List {
		if !f.lost && message.Sequence != f.next {
			f.lost, f.gapAfter = true, f.next-1
		}
		if f.lost {
			items = append(items, hook.Item{Page: m.Page, Gap: &hook.Gap{Last: f.gapAfter, Next: message.Sequence}})
			f.lost = false
		}
		items = append(items, hook.Item{Page: m.Page, Message: message})
		f.next, f.page = message.Sequence+1, m.Page
	}
	return items, false
}
