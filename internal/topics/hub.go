// Package topics lets any number of subscribers follow Momento's topics, at next
// to no cost while nothing is published: a process listens once for all of them
// and reads a message once for all who wait for it. The store is the truth; what
// is kept here is who waits. It must not import the API.
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

// Store is what following needs of the store.
type Store interface {
	// Messages reads a topic's kept messages from a number on, and where it is.
	Messages(ctx context.Context, q hook.MessageQuery) (hook.Messages, error)
	// LastSequences tells the newest message's number of topics.
	LastSequences(ctx context.Context, topics []hook.TopicID) (map[hook.TopicID]int64, error)
	// AnnounceTopics tells other processes of new messages.
	AnnounceTopics(ctx context.Context, topics []hook.TopicID) error
	// ListenTopics hears what other processes announce until it fails; nil says that
	// nothing can be heard here.
	ListenTopics(ctx context.Context, listening func(), heard func([]hook.TopicID)) error
}

// Config is what New needs.
type Config struct {
	Store  Store
	Logger *slog.Logger
	// Age and Newest are how long messages are kept, and how many of a topic (M8).
	Age    time.Duration
	Newest int
	// LookEvery is how often topics that are followed are looked at in case an
	// announcement got lost; default 2 s.
	LookEvery time.Duration
	// Batches is how many batches of up to 1 MiB of messages followers hold at once;
	// default 64.
	Batches int
}

const (
	defaultLookEvery = 2 * time.Second
	defaultBatches   = 64
)

// Where nothing can be heard, looking is all there is: it is done more often, at one
// query for all topics that are followed, and listening is tried again now and then.
const (
	lookWhenDeaf   = 500 * time.Millisecond
	listenWhenDeaf = time.Minute
)

// Hub knows who follows what. It is safe for concurrent use.
type Hub struct {
	Config
	reads singleflight.Group
	// batches has an element for each batch that is held.
	batches chan struct{}

	mu sync.Mutex
	// version counts all changes of all topics, so that none is ever met again.
	version  uint64
	followed map[hook.TopicID]*topic
	// published are the topics to announce.
	published map[hook.TopicID]bool
	announce  chan struct{}
	// deaf says that nothing can be heard of other processes.
	deaf atomic.Bool
}

// topic is one that somebody follows.
type topic struct {
	followers int
	// version is the hub's at the last change, changed closes at the next.
	version uint64
	changed chan struct{}
	// last is the newest message's number, as it was read at the version readAt.
	last   int64
	readAt uint64
}

// New builds a Hub; Run makes it hear of other processes.
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

// Published wakes who follows the topic, here and in other processes: it has a
// new message, which is committed.
func (h *Hub) Published(id hook.TopicID) {
	h.mu.Lock()
	h.wake(id)
	h.published[id] = true
	h.mu.Unlock()
	select {
	case h.announce <- struct{}{}:
	default: // it is known already that there is something to announce
	}
}

// wake must be called with mu held.
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

// state is the topic's version and what closes when it is another. Asked for
// before reading, no change after the reading is missed.
func (h *Hub) state(id hook.TopicID) (version uint64, changed <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.followed[id]
	return t.version, t.changed
}

// Run announces what is published here and hears what is published elsewhere,
// until ctx ends. Where a message was not heard of, because listening was
// interrupted or a process died before it could announce, looking finds it.
func (h *Hub) Run(ctx context.Context) error {
	var parts sync.WaitGroup
	parts.Go(func() { h.announceAll(ctx) })
	parts.Go(func() { h.listen(ctx) })
	parts.Go(func() { h.look(ctx) })
	parts.Wait()
	return nil
}

// announceAll announces what has come together while the announcement before was
// under way.
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

// announceTimeout bounds an announcement, which a stopping process still makes.
const announceTimeout = 2 * time.Second

// announcePublished tells other processes. Where that fails, their looking finds
// what it was about.
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
			_ = wait.For(ctx, listenWhenDeaf) // the loop looks at ctx
			continue
		}
		h.Logger.WarnContext(ctx, "listen for messages", slog.Any("error", err))
		_ = wait.For(ctx, h.LookEvery) // the loop looks at ctx
	}
}

// listening wakes everybody, when listening begins: nobody knows what was said before.
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

// look asks the store for all followed topics at once, now and then.
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
