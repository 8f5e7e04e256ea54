// Package topics lets any number of subscribers follow Momento's topics. It costs almost nothing while nothing is
// published: a process listens once for all its subscribers, and reads a message once for all that are waiting for
// it. The store is the source of truth; this package only keeps track of the waiting subscribers. It must not import
// the API.
package topics

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"grapnel/internal/hook"
	"grapnel/internal/wait"
)

// Store is the part of the store that a Hub needs.
type Store interface {
	// Messages reads a topic's kept messages, starting at a number, and the topic's current position.
	Messages(ctx context.Context, q hook.MessageQuery) (hook.Messages, error)
	// LastSequences returns the number of the newest message of each topic.
	LastSequences(ctx context.Context, topics []hook.TopicID) (map[hook.TopicID]int64, error)
	// AnnounceTopics notifies other processes that the topics have new messages.
	AnnounceTopics(ctx context.Context, topics []hook.TopicID) error
	// ListenTopics passes on the announcements of other processes until listening fails. It returns nil if
	// announcements cannot be received here.
	ListenTopics(ctx context.Context, listening func(), heard func([]hook.TopicID)) error
}

// Config is the configuration of a Hub.
type Config struct {
	Store  Store
	Logger *slog.Logger
	// Age is how long messages are kept, and Newest how many are kept per topic (M8).
	Age    time.Duration
	Newest int
	// LookEvery is the interval at which the hub checks followed topics for messages whose announcement was lost;
	// default 2 s.
	LookEvery time.Duration
	// Batches is the number of batches, of up to 1 MiB of messages each, that all followers together may hold in
	// memory at once; default 64.
	Batches int
}

const (
	defaultLookEvery = 2 * time.Second
	defaultBatches   = 64
)

// If announcements cannot be received, checking the store is the only way to notice new messages. The hub then checks
// more often, with one query for all followed topics, and tries to listen again from time to time.
const (
	lookWhenDeaf   = 500 * time.Millisecond
	listenWhenDeaf = time.Minute
)

// Hub wakes the followers of topics that have new messages. It is safe for concurrent use.
type Hub struct {
	Config
	reads singleflight.Group
	// batches has one element for each batch that a follower holds.
	batches chan struct{}

	mu sync.Mutex
	// version counts all changes of all topics, so that no version occurs twice.
	version  uint64
	followed map[hook.TopicID]*topic
	// published holds the topics to announce.
	published map[hook.TopicID]bool
	announce  chan struct{}
	// deaf is true while announcements of other processes cannot be received.
	deaf atomic.Bool
}

// topic is a topic that has at least one follower.
type topic struct {
	followers int
	// version is the hub's version at the last change; changed is closed at the next change.
	version uint64
	changed chan struct{}
	// last is the number of the newest message, as read at version readAt.
	last   int64
	readAt uint64
}

// New returns a Hub. It receives announcements of other processes only while Run runs.
func New(c Config) (*Hub, error) {
	if c.Store == nil || c.Logger == nil || c.Age <= 0 || c.Newest <= 0 {
		return nil, errors.New("follow: store, logger, age and newest are required")
	}
	if c.LookEvery == 0 {
		c.LookEvery = defaultLookEvery
	}
	if c.Batches == 0 {
		c.Batches = defaultBatches
	}
	return &Hub{Config: c, batches: make(chan struct{}, c.Batches), followed: map[hook.TopicID]*topic{}, published: map[hook.TopicID]bool{}, announce: make(chan struct{}, 1)}, nil
}

// Published wakes the followers of the topic, in this process and in others. The topic's new message must be
// committed already.
func (h *Hub) Published(id hook.TopicID) {
	h.mu.Lock()
	h.wake(id)
	h.published[id] = true
	h.mu.Unlock()
	select {
	case h.announce <- struct{}{}:
	default: // an announcement is already scheduled
	}
}

// wake wakes the topic's followers in this process. The caller must hold mu.
func (h *Hub) wake(id hook.TopicID) {
	t := h.followed[id]
	if t == nil {
		return
	}
	h.version++
	t.version = h.version
	close(t.changed)
	t.changed = make(chan struct{})
}

func (h *Hub) enter(id hook.TopicID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.followed[id]
	if t == nil {
		h.version++
		t = &topic{version: h.version, changed: make(chan struct{})}
		h.followed[id] = t
	}
	t.followers++
}

func (h *Hub) leave(id hook.TopicID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.followed[id]
	if t.followers--; t.followers == 0 {
		delete(h.followed, id)
	}
}

// state returns the topic's version, and a channel that is closed when the version changes. A caller that calls it
// before it reads misses no change after the read.
func (h *Hub) state(id hook.TopicID) (version uint64, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.followed[id]
	return t.version, t.changed
}

// Run announces messages published here and receives announcements of other processes, until ctx ends. An
// announcement may be missed because listening was interrupted or a process died before it could announce; the
// regular check then finds the message.
func (h *Hub) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { h.announceAll(ctx) })
	parts.Go(func() { h.listen(ctx) })
	parts.Go(func() { h.look(ctx) })
	parts.Wait()
	return nil
}

// announceAll announces the topics that were published to during the previous announcement.
func (h *Hub) announceAll(ctx context.Context) {
	for {
		select {
		case <-h.announce:
			h.announcePublished(ctx)
		case <-ctx.Done():
			h.announcePublished(ctx)
			return
		}
	}
}

// announceTimeout bounds an announcement. A process that is stopping still makes one.
const announceTimeout = 2 * time.Second

// announcePublished announces the published topics to other processes. If that fails, their regular check finds the
// messages.
func (h *Hub) announcePublished(ctx context.Context) {
	h.mu.Lock()
	topics := slices.Collect(maps.Keys(h.published))
	clear(h.published)
	h.mu.Unlock()
	if len(topics) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), announceTimeout)
	defer cancel()
	if err := h.Store.AnnounceTopics(ctx, topics); err != nil {
		h.Logger.WarnContext(ctx, "announce messages", slog.Int("topics", len(topics)), slog.Any("error", err))
	}
}

func (h *Hub) listen(ctx context.Context) {
	for ctx.Err() == nil {
		err := h.Store.ListenTopics(ctx, h.listening, func(topics []hook.TopicID) {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, id := range topics {
				h.wake(id)
			}
		})
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			if !h.deaf.Swap(true) {
				h.Logger.InfoContext(ctx, "a connection pooler keeps this process from hearing of messages published in others: it looks for them instead; --direct-database-url would let it hear",
					slog.Duration("every", h.lookEvery()))
			}
			_ = wait.For(ctx, listenWhenDeaf) // the loop checks ctx
			continue
		}
		h.Logger.WarnContext(ctx, "listen for messages", slog.Any("error", err))
		_ = wait.For(ctx, h.LookEvery) // the loop checks ctx
	}
}

// listening wakes all followers when listening begins, because earlier announcements may have been missed.
func (h *Hub) listening() {
	h.deaf.Store(false)
	h.mu.Lock()
	defer h.mu.Unlock()
	for id := range h.followed {
		h.wake(id)
	}
}

func (h *Hub) lookEvery() time.Duration {
	if h.deaf.Load() {
		return min(h.LookEvery, lookWhenDeaf)
	}
	return h.LookEvery
}

// look checks all followed topics in the store, in one query, at regular intervals.
func (h *Hub) look(ctx context.Context) {
	for wait.For(ctx, h.lookEvery()) == nil {
		h.mu.Lock()
		topics := slices.Collect(maps.Keys(h.followed))
		h.mu.Unlock()
		if len(topics) == 0 {
			continue
		}
		last, err := h.Store.LastSequences(ctx, topics)
		if err != nil {
			if ctx.Err() == nil {
				h.Logger.WarnContext(ctx, "look for messages", slog.Int("topics", len(topics)), slog.Any("error", err))
			}
			continue
		}
		h.mu.Lock()
		for id, n := range last {
			if t := h.followed[id]; t != nil && t.last != n {
				t.last = n
				h.wake(id)
			}
		}
		h.mu.Unlock()
	}
}
