package topics_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/hook"
	"grapnel/internal/topics"
)

// memoryTopics is a store in memory that several hubs can share, as processes share a database. In a synctest bubble
// it uses the bubble's time.
type memoryTopics struct {
	mu    sync.Mutex
	list  map[hook.TopicID]*hook.Messages
	hear  map[int]func([]hook.TopicID)
	next  int
	reads int
	looks int
	// err is the error that every method returns.
	err error
	// slow is the delay between the end of a read and its return.
	slow time.Duration
	// deaf makes announcements get lost.
	deaf bool
	// pooled makes listening impossible, as behind a connection pooler.
	pooled bool
}

func newTopics() *memoryTopics {
	return &memoryTopics{list: map[hook.TopicID]*hook.Messages{}, hear: map[int]func([]hook.TopicID){}}
}

// add adds a message to the topic without announcing it.
func (s *memoryTopics) add(id hook.TopicID, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.list[id]
	if m == nil {
		m = &hook.Messages{Page: 1_700_000_000}
		s.list[id] = m
	}
	m.Last++
	m.List = append(m.List, hook.Message{Sequence: m.Last, Text: []byte(text)})
}

// change changes the topic.
func (s *memoryTopics) change(id hook.TopicID, f func(*hook.Messages)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s.list[id])
}

func (s *memoryTopics) set(f func(*memoryTopics)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *memoryTopics) Messages(ctx context.Context, q hook.MessageQuery) (hook.Messages, error) {
	s.mu.Lock()
	s.reads++
	slow, err := s.slow, s.err
	var out hook.Messages
	if m := s.list[q.Topic]; m != nil {
		out.Page, out.Last = m.Page, m.Last
		before := 0
		for _, message := range m.List {
			if q.From > 0 && message.Sequence >= q.From && len(out.List) < q.Limit && before < q.Bytes {
				out.List = append(out.List, message)
				before += len(message.Text)
			}
		}
	}
	s.mu.Unlock()
	if slow > 0 {
		timer := time.NewTimer(slow)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return hook.Messages{}, ctx.Err()
		}
	}
	return out, err
}

func (s *memoryTopics) LastSequences(_ context.Context, ids []hook.TopicID) (map[hook.TopicID]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looks++
	last := map[hook.TopicID]int64{}
	for _, id := range ids {
		if m := s.list[id]; m != nil {
			last[id] = m.Last
		}
	}
	return last, s.err
}

func (s *memoryTopics) AnnounceTopics(_ context.Context, ids []hook.TopicID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deaf {
		return nil
	}
	for _, heard := range s.hear {
		go heard(ids)
	}
	return s.err
}

func (s *memoryTopics) ListenTopics(ctx context.Context, listening func(), heard func([]hook.TopicID)) error {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return s.err
	}
	if s.pooled {
		s.mu.Unlock()
		return nil
	}
	n := s.next
	s.next++
	s.hear[n] = heard
	s.mu.Unlock()
	listening()
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.hear, n)
	return ctx.Err()
}

var errAway = errors.New("away")

// newHub returns a hub on the store, and runs it until the test ends in its bubble.
func newHub(t *testing.T, store *memoryTopics) *topics.Hub {
	t.Helper()
	h, err := topics.New(topics.Config{Store: store, Logger: slog.New(slog.DiscardHandler), Age: time.Hour, Newest: 100})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		time.Sleep(time.Minute) //nolint:forbidigo // the bubble's time: a read continues when no follower waits for it
	})
	return h
}

// followed returns the fixture of most tests: a context for subscribers that ends with the test, a store, a running
// hub on it, and a topic.
func followed(t *testing.T) (context.Context, *memoryTopics, *topics.Hub, hook.TopicID) {
	t.Helper()
	store := newTopics()
	h := newHub(t, store)
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, store, h, topicID("room")
}

// got is the items that a subscriber received at once, and the time.
type got struct {
	items []hook.Item
	at    time.Duration
	err   error
}

// subscribe follows the topic until ctx ends. It sends the items to the returned channel, and closes it at the end.
func subscribe(ctx context.Context, h *topics.Hub, id hook.TopicID, from hook.Cursor, quiet time.Duration) <-chan got {
	out := make(chan got, 1000)
	start := time.Now()
	go func() {
		defer close(out)
		for items, err := range h.Follow(ctx, id, from, quiet) {
			out <- got{items, time.Since(start), err}
		}
	}()
	return out
}

// shown formats items briefly: messages as their numbers, gaps as last>next.
func shown(items []hook.Item) []string {
	var list []string
	for _, item := range items {
		if item.Gap != nil {
			list = append(list, describe(item.Gap.Last)+">"+describe(item.Gap.Next))
			continue
		}
		list = append(list, describe(item.Message.Sequence))
	}
	return list
}
