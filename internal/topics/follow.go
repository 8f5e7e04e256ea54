package topics

import (
	"context"
	"fmt"
	"iter"
	"time"

	"grapnel/internal/hook"
)

// Bounds of one batch of messages: their number, and the bytes of their text.
const (
	mostMessages = 100
	mostBytes    = 1 << 20
)

// readTimeout bounds a read. A read continues when the follower that started it has gone.
const readTimeout = 10 * time.Second

// Follow yields the topic's items as they arrive, starting at a position, until ctx ends or the store fails. It
// yields no items when none has arrived for the duration quiet. A follower that starts at the end of the topic starts
// at the position that the topic has when the iteration begins. Followers that are far behind and slow hold at most
// Config.Batches batches together; the others advance one message at a time.
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

// step is the result of one read.
type step int

const (
	stepEnds    step = iota
	stepAgain        // read again, from a position that is known only now
	stepYielded      // there were items, and there may be more
	stepNothing      // nothing has arrived yet
)

// step reads items and yields them. The items of a follower that is behind stay in memory while they are yielded, and
// count against the limit of batches. Live followers are exempt: they all share the same few messages.
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

// share returns the number of bytes of messages that a follower may hold until it calls release: a whole batch while
// there is room for one, and otherwise a single message of any size, so that slow readers block nobody.
func (h *Hub) share() (bytes int, release func()) {
	select {
	case h.batches <- struct{}{}:
		return mostBytes, func() { <-h.batches }
	default:
		return 1, func() {}
	}
}

// read reads once for all followers that need the same messages at the same version: a thousand followers that wait
// for one message cause one query.
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

// seen records the newest number that was read, so that look does not wake followers that have already read it. The
// first read of a version shows what every follower woken for it will find. A later read that finds more has found a
// message that was not announced, and wakes the followers.
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

// follower is the position of one subscriber.
type follower struct {
	// next is the number of the next message to read; 0 until the position is known.
	next int64
	// page is the page that next belongs to; 0 until it is known.
	page int64
	// lost reports that a gap, which begins after gapAfter, has yet to be yielded.
	lost     bool
	gapAfter int64
}

// take converts the messages that were read to items, and advances the position. again requests another read, from a
// position that is known only now.
func (f *follower) take(m hook.Messages) (items []hook.Item, again bool) {
	if f.next == 0 {
		f.next = m.Last + 1
		f.page = m.Page
		return nil, false
	}
	if f.page != 0 && m.Page != 0 && f.page != m.Page {
		// The topic was recreated since the last read: all its messages are new.
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
