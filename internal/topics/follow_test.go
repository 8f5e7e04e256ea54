package topics_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/topics"
)

func describe(n int64) string { return strconv.FormatInt(n, 10) }

func topicID(name string) hook.TopicID {
	topic := hook.Topic{Cache: "chat", Name: name}
	return topic.ID()
}

const quiet = 30 * time.Second

// first returns the first items that a new subscriber gets.
func first(t *testing.T, h *topics.Hub, id hook.TopicID, from hook.Cursor) got {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g, ok := <-subscribe(ctx, h, id, from, quiet)
	require.True(t, ok)
	return g
}

// M8: a subscriber that names a number gets the messages from that number at once; gaps come before the messages that
// follow them.
func TestFollowFromANumber(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		h, id := newHub(t, store), topicID("room")
		for i := range 10 {
			store.add(id, fmt.Sprint(i))
		}
		drop := func(from, to int64) {
			store.change(id, func(m *hook.Messages) {
				var kept []hook.Message
				for _, message := range m.List {
					if message.Sequence < from || message.Sequence > to {
						kept = append(kept, message)
					}
				}
				m.List = kept
			})
		}
		require.Equal(t, []string{"8", "9", "10"}, shown(first(t, h, id, hook.Cursor{Next: 8}).items))
		drop(1, 3)
		require.Equal(t, []string{"0>4", "4", "5", "6", "7", "8", "9", "10"}, shown(first(t, h, id, hook.Cursor{Next: 1}).items))
		require.Equal(t, []string{"1>4", "4"}, shown(first(t, h, id, hook.Cursor{Next: 2}).items)[:2])
		drop(6, 7)
		g := first(t, h, id, hook.Cursor{Next: 5})
		require.Equal(t, []string{"5", "5>8", "8", "9", "10"}, shown(g.items), "a gap within")
		require.Zero(t, g.at)
		for _, item := range g.items {
			require.Equal(t, int64(1_700_000_000), item.Page)
		}
	})
}

// M8: a subscriber that names the page of a topic that was since lost gets a discontinuity and all messages there
// are.
func TestFollowAnotherPage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		h, id := newHub(t, store), topicID("room")
		store.add(id, "a")
		store.add(id, "b")
		for _, next := range []int64{2, 500} {
			require.Equal(t, []string{describe(next-1) + ">1", "1", "2"}, shown(first(t, h, id, hook.Cursor{Next: next, Page: 99}).items))
		}
		require.Equal(t, []string{"2"}, shown(first(t, h, id, hook.Cursor{Next: 2, Page: 1_700_000_000}).items))

		// The topic is lost while a subscriber follows it.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := subscribe(ctx, h, id, hook.Cursor{Next: 3}, quiet)
		store.add(id, "c")
		h.Published(id)
		require.Equal(t, []string{"3"}, shown((<-sub).items))
		store.change(id, func(m *hook.Messages) {
			*m = hook.Messages{Page: 1_800_000_000, Last: 1, List: []hook.Message{{Sequence: 1}}}
		})
		h.Published(id)
		require.Equal(t, []string{"3>1", "1"}, shown((<-sub).items))
	})
}

// M8: a subscriber that names no number gets only new messages, each once and in order.
func TestFollowWhatIsToCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		h := newHub(t, store)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for _, old := range []int{0, 3} { // a topic that does not exist yet, and one that does
			id := topicID(strconv.Itoa(old))
			for range old {
				store.add(id, "old")
			}
			sub := subscribe(ctx, h, id, hook.Cursor{}, quiet)
			synctest.Wait()
			for i := range 5 {
				store.add(id, "new")
				h.Published(id)
				g := <-sub
				require.Equal(t, []string{strconv.Itoa(old + i + 1)}, shown(g.items))
				require.Zero(t, g.at, "at once")
			}
		}
	})
}

// A subscriber that names a future number waits for that message.
func TestFollowFromTheFuture(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, store, h, id := followed(t)
		sub := subscribe(ctx, h, id, hook.Cursor{Next: 3}, quiet)
		for range 4 {
			store.add(id, "x")
			h.Published(id)
			synctest.Wait()
		}
		require.Equal(t, []string{"3"}, shown((<-sub).items))
		require.Equal(t, []string{"4"}, shown((<-sub).items))
	})
}

// M8: a subscriber gets an empty batch each time that no message has come for the quiet time.
func TestFollowIsQuiet(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, store, h, id := followed(t)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		sub := subscribe(ctx, h, id, hook.Cursor{}, quiet)
		for i := 1; i <= 3; i++ {
			require.Equal(t, got{at: time.Duration(i) * quiet}, <-sub)
		}
		store.add(id, "x")
		h.Published(id)
		require.Equal(t, 3*quiet, (<-sub).at)
		require.Equal(t, 4*quiet, (<-sub).at, "counted from the last message")
		cancel()
		_, more := <-sub
		require.False(t, more, "ends with its context")
	})
}

// Messages that exceed one batch come in several batches, without a wait between them.
func TestFollowInBatches(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		h, id := newHub(t, store), topicID("room")
		for range 250 {
			store.add(id, "x")
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := subscribe(ctx, h, id, hook.Cursor{Next: 1}, quiet)
		next := int64(1)
		for _, want := range []int{100, 100, 50} {
			g := <-sub
			require.Len(t, g.items, want)
			require.Zero(t, g.at)
			for _, item := range g.items {
				require.Equal(t, next, item.Message.Sequence)
				next++
			}
		}
	})
}

// A message published by another process arrives by its announcement; if the announcement was lost, by the regular
// check.
func TestFollowWhatIsPublishedElsewhere(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		here, elsewhere, id := newHub(t, store), newHub(t, store), topicID("room")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := subscribe(ctx, here, id, hook.Cursor{}, quiet)
		synctest.Wait()
		store.add(id, "1")
		elsewhere.Published(id)
		require.Zero(t, (<-sub).at)

		store.set(func(s *memoryTopics) { s.deaf = true })
		store.add(id, "2")
		elsewhere.Published(id)
		g := <-sub
		require.Equal(t, []string{"2"}, shown(g.items))
		require.LessOrEqual(t, g.at, 2*time.Second)
	})
}

// M8: the regular check finds a message whose announcement was lost, even if another subscriber has read it already.
func TestFollowFindsWhatAnotherHasRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, store, h, id := followed(t)
		store.add(id, "1")
		waiting := subscribe(ctx, h, id, hook.Cursor{Next: 2}, quiet)
		synctest.Wait()
		store.add(id, "2") // and the process that published it died
		require.Equal(t, []string{"1", "2"}, shown(first(t, h, id, hook.Cursor{Next: 1}).items))
		g := <-waiting
		require.Equal(t, []string{"2"}, shown(g.items))
		require.LessOrEqual(t, g.at, 2*time.Second)
	})
}

// A process that stops still announces the messages it has published.
func TestStoppingAnnounces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		here, id := newHub(t, store), topicID("room")
		stopping, err := topics.New(topics.Config{Store: store, Logger: slog.New(slog.DiscardHandler), Age: time.Hour, Newest: 100})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := subscribe(ctx, here, id, hook.Cursor{}, quiet)
		synctest.Wait()
		store.add(id, "1")
		stopping.Published(id)
		ended, stop := context.WithCancel(t.Context())
		stop()
		require.NoError(t, stopping.Run(ended))
		require.Zero(t, (<-sub).at)
	})
}

// A thousand waiting subscribers cost one check every two seconds and nothing else; a message for all of them is read
// once.
func TestManyFollowersAreCheap(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, store, h, id := followed(t)
		var subs []<-chan got
		for range 1000 {
			subs = append(subs, subscribe(ctx, h, id, hook.Cursor{Next: 1}, time.Hour))
		}
		synctest.Wait()
		store.set(func(s *memoryTopics) { s.reads, s.looks = 0, 0 })
		time.Sleep(61 * time.Second) //nolint:forbidigo // the bubble's time
		store.set(func(s *memoryTopics) {
			require.Zero(t, s.reads)
			require.Equal(t, 30, s.looks)
			s.slow = time.Millisecond // all are waiting by the time the read ends
		})
		store.add(id, "x")
		h.Published(id)
		for _, sub := range subs {
			require.Equal(t, []string{"1"}, shown((<-sub).items))
		}
		synctest.Wait()
		// There is one read for each version (the publisher's own announcement and the store's), position (the
		// message and the one after it) and batch size. The order in which a thousand goroutines run decides which of
		// the eight reads occur.
		store.set(func(s *memoryTopics) { require.LessOrEqual(t, s.reads, 8) })
	})
}

// A read that began before a message was published must not be reused for a follower that asks after it.
func TestFollowMissesNothingWhileReading(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, store, h, id := followed(t)
		store.set(func(s *memoryTopics) { s.slow = time.Second })
		sub := subscribe(ctx, h, id, hook.Cursor{Next: 1}, quiet)
		synctest.Wait() // the follower has read that there is no message, but the read has not returned yet
		store.add(id, "x")
		h.Published(id)
		g := <-sub
		require.Equal(t, []string{"1"}, shown(g.items))
		require.Equal(t, 2*time.Second, g.at, "the next reading's, not a look's")
	})
}

// A failure of the store ends the iteration with an error; the subscriber may follow again.
func TestFollowWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		h, id := newHub(t, store), topicID("room")
		synctest.Wait() // the hub listens
		store.set(func(s *memoryTopics) { s.err = errAway })
		require.ErrorIs(t, first(t, h, id, hook.Cursor{Next: 1}).err, errAway)
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's time
		store.set(func(s *memoryTopics) { s.err = nil })
		store.add(id, "x")
		require.Equal(t, []string{"1"}, shown(first(t, h, id, hook.Cursor{Next: 1}).items))
	})
}

// Listening starts again after it broke, and waiting followers then check the store.
func TestListeningBeginsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		store.set(func(s *memoryTopics) { s.err = errAway })
		h, id := newHub(t, store), topicID("room")
		synctest.Wait()
		store.set(func(s *memoryTopics) { s.err = nil })
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		sub := subscribe(ctx, h, id, hook.Cursor{}, quiet)
		synctest.Wait()
		time.Sleep(3 * time.Second) //nolint:forbidigo // the bubble's time
		store.add(id, "x")
		newHub(t, store).Published(id)
		require.Equal(t, 3*time.Second, (<-sub).at, "heard, not looked for")
	})
}

// Behind a connection pooler no announcements arrive, so the hub checks more often, until the pooler has gone.
func TestFollowWhereNothingIsHeard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := newTopics()
		store.set(func(s *memoryTopics) { s.pooled = true })
		h, id := newHub(t, store), topicID("room")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		time.Sleep(10 * time.Second) //nolint:forbidigo // the bubble's time
		sub := subscribe(ctx, h, id, hook.Cursor{}, quiet)
		synctest.Wait()
		store.add(id, "1")
		g := <-sub
		require.Equal(t, []string{"1"}, shown(g.items))
		require.LessOrEqual(t, g.at, 500*time.Millisecond)

		store.set(func(s *memoryTopics) { s.pooled = false })
		time.Sleep(time.Minute + time.Second/3) //nolint:forbidigo // the bubble's time
		sub = subscribe(ctx, h, id, hook.Cursor{Next: 2}, quiet)
		synctest.Wait()
		store.add(id, "2")
		newHub(t, store).Published(id)
		g = <-sub
		require.Equal(t, []string{"2"}, shown(g.items))
		require.Zero(t, g.at, "it is heard again")
	})
}

func TestNewChecksItsConfig(t *testing.T) {
	t.Parallel()
	_, err := topics.New(topics.Config{})
	require.Error(t, err)
}
