package storage_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"grapnel/internal/hook"
	"grapnel/storage"
)

// room returns the topic of most tests.
func room() *hook.Topic {
	return &hook.Topic{TenantID: hook.DefaultTenant(), Cache: "chat", Name: "room"}
}

// message publishes the text to the topic.
func message(t *testing.T, store *storage.Store, topic *hook.Topic, text string) hook.Event {
	t.Helper()
	a, err := store.Publish(t.Context(), hook.Publication{
		TenantID: topic.TenantID, Cache: topic.Cache, Type: topic.Name, Data: []byte(strconv.Quote(text)), TokenID: "token",
	})
	require.NoError(t, err)
	return a.Event
}

// from returns a query for all kept messages of the topic from a number on.
func from(topic *hook.Topic, n int64) hook.MessageQuery {
	return hook.MessageQuery{Topic: topic.ID(), From: n, Limit: 10_000, Bytes: 1 << 30, Age: time.Hour, Newest: 1 << 30}
}

func (f *fixture) messages(t *testing.T, q hook.MessageQuery) hook.Messages {
	t.Helper()
	m, err := f.Messages(t.Context(), q)
	require.NoError(t, err)
	return m
}

func sequences(m hook.Messages) []int64 {
	var list []int64
	for _, message := range m.List {
		list = append(list, message.Sequence)
	}
	return list
}

// topicWebhook creates a Momento webhook for the topic.
func (f *fixture) topicWebhook(t *testing.T, topic *hook.Topic, name string) hook.Webhook {
	t.Helper()
	return f.webhook(t, ofTenant(topic.TenantID), func(w *hook.Webhook) {
		w.Profile, w.Cache, w.Name, w.Events = hook.ProfileMomento, topic.Cache, name, []string{topic.Name}
	})
}

// M6: numbers start at 1 for each topic. A topic belongs to a tenant and a cache.
func TestMessagesAreNumberedPerTopic(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	topics := []*hook.Topic{
		room(),
		{TenantID: hook.DefaultTenant(), Cache: "chat", Name: "room2"},
		{TenantID: hook.DefaultTenant(), Cache: "chat2", Name: "room"},
		{TenantID: other, Cache: "chat", Name: "room"},
		{TenantID: hook.DefaultTenant(), Cache: "cha", Name: "troom"},
	}
	for n := int64(1); n <= 3; n++ {
		for _, topic := range topics {
			require.Equal(t, n, message(t, f.Store, topic, "x").Sequence)
		}
	}
	for _, topic := range topics {
		m := f.messages(t, from(topic, 1))
		require.Equal(t, []int64{1, 2, 3}, sequences(m))
		require.Equal(t, int64(3), m.Last)
		require.InDelta(t, time.Now().Unix(), m.Page, 60)
	}
}

// M5, M6: a message is an event with all that its delivery shows.
func TestMessageIsAnEvent(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.topicWebhook(t, room(), "bot")
	e := message(t, f.Store, room(), "hello")
	require.Equal(t, 1, e.Deliveries)
	read, err := f.Event(t.Context(), hook.DefaultTenant(), e.ID)
	require.NoError(t, err)
	require.Equal(t, e, read)
	require.Equal(t, "chat", read.Cache)
	require.Equal(t, "room", read.Type)
	require.Equal(t, "token", read.TokenID)
	jobs, err := f.Outstanding(t.Context(), []hook.EventID{e.ID}, 0, 1)
	require.NoError(t, err)
	require.Len(t, jobs, 1)
	require.Equal(t, e, jobs[0].Event)
	require.Equal(t, w.ID, jobs[0].Webhook.ID)
	require.True(t, jobs[0].AtMostOnce())
	starts := f.inOutbox(t)
	require.Len(t, starts, 1)
	require.Equal(t, "chat/room", starts[0].Subject(), "as a person sees it in the Web UI")
}

// M6 and spec 5: messages go only to webhooks of their cache and topic, and events never to webhooks of topics.
func TestTopicsAndTypesAreApart(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	topic := &hook.Topic{TenantID: hook.DefaultTenant(), Cache: "chat", Name: "user.created"}
	mine := f.topicWebhook(t, topic, "a")
	alsoMine := f.topicWebhook(t, topic, "b")
	f.topicWebhook(t, &hook.Topic{TenantID: topic.TenantID, Cache: "chat2", Name: "user.created"}, "a")
	f.topicWebhook(t, &hook.Topic{TenantID: topic.TenantID, Cache: "chat", Name: "*"}, "star")
	f.topicWebhook(t, &hook.Topic{TenantID: topic.TenantID, Cache: "chat", Name: "user.*"}, "prefix")
	f.topicWebhook(t, &hook.Topic{TenantID: other, Cache: "chat", Name: "user.created"}, "a")
	standard := f.webhook(t, events("user.created", "*"))
	commenda := f.webhook(t, events("user.created"), func(w *hook.Webhook) { w.Profile = hook.ProfileCommenda })

	got := func(e hook.EventID) (ids []hook.WebhookID) {
		list, err := f.DeliveriesOfEvent(t.Context(), e, 100)
		require.NoError(t, err)
		for _, d := range list {
			ids = append(ids, d.WebhookID)
		}
		return ids
	}
	e := message(t, f.Store, topic, "x")
	require.ElementsMatch(t, []hook.WebhookID{mine.ID, alsoMine.ID}, got(e.ID))
	require.ElementsMatch(t, []hook.WebhookID{standard.ID, commenda.ID}, got(f.publish(t, "user.created").Event.ID))

	reasons := map[hook.WebhookID]string{}
	list, err := f.NotDeliveredTo(t.Context(), e, 100)
	require.NoError(t, err)
	for _, n := range list {
		reasons[n.WebhookID] = n.Reason
	}
	require.Equal(t, "not subscribed", reasons[standard.ID])
	require.NotContains(t, reasons, mine.ID)
}

// M6: numbers have no gap and no duplicate with 50 concurrent publishers in two processes, some of which give up.
func TestSequenceUnderConcurrentPublishers(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stores := []*storage.Store{f.Store, open(t, f.url, encryptionKey)}
	const publishers, each = 50, 20
	var accepted, refused atomic.Int64
	var group errgroup.Group
	for p := range publishers {
		group.Go(func() error {
			for i := range each {
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if (p+i)%5 == 0 { // given up at some moment
					ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*200*time.Microsecond)
				}
				_, err := stores[p%2].Publish(ctx, hook.Publication{
					TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room", Data: []byte(`"x"`),
				})
				gone := ctx.Err() != nil
				cancel()
				switch {
				case err == nil:
					accepted.Add(1)
				case gone:
					refused.Add(1)
				default:
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	require.Positive(t, refused.Load(), "some were broken off")

	m := f.messages(t, from(room(), 1))
	require.GreaterOrEqual(t, m.Last, accepted.Load())
	require.LessOrEqual(t, m.Last, int64(publishers*each))
	for i, message := range m.List {
		require.Equal(t, int64(i+1), message.Sequence)
	}
	require.Len(t, m.List, int(m.Last))
}

// If a publish is rolled back, the next one gets its number.
func TestRolledBackPublishLeavesNoGap(t *testing.T) {
	t.Parallel()
	f := setup(t)
	message(t, f.Store, room(), "1")
	f.exec(t, `alter table events add constraint fails check (data <> '"bad"')`)
	for range 3 {
		_, err := f.Publish(t.Context(), hook.Publication{
			TenantID: hook.DefaultTenant(), Cache: "chat", Type: "room", Data: []byte(`"bad"`),
		})
		require.Error(t, err)
	}
	require.Equal(t, int64(2), message(t, f.Store, room(), "2").Sequence)
}

// M8: a subscriber can read messages from a number on, in batches, for a time, and the newest ones.
func TestMessages(t *testing.T) {
	t.Parallel()
	f := setup(t)
	require.Equal(t, hook.Messages{}, f.messages(t, from(room(), 1)), "no topic yet")
	for range 10 {
		message(t, f.Store, room(), strings.Repeat("x", 98))
	}
	list := func(change func(q *hook.MessageQuery)) []int64 {
		q := from(room(), 1)
		change(&q)
		m := f.messages(t, q)
		require.Equal(t, int64(10), m.Last)
		return sequences(m)
	}
	require.Equal(t, []int64{8, 9, 10}, list(func(q *hook.MessageQuery) { q.From = 8 }))
	require.Empty(t, list(func(q *hook.MessageQuery) { q.From = 11 }))
	require.Empty(t, list(func(q *hook.MessageQuery) { q.From = 0 }), "only where the topic is")
	require.Equal(t, []int64{1, 2}, list(func(q *hook.MessageQuery) { q.Limit = 2 }))
	require.Equal(t, []int64{7, 8, 9, 10}, list(func(q *hook.MessageQuery) { q.Newest = 4 }))
	require.Equal(t, []int64{1, 2, 3}, list(func(q *hook.MessageQuery) { q.Bytes = 250 }), "until the size is reached")
	require.Equal(t, []int64{1}, list(func(q *hook.MessageQuery) { q.Bytes = 1 }), "one all the same")
	require.Empty(t, list(func(q *hook.MessageQuery) { q.Age = -time.Minute }), "kept no longer")
	require.Equal(t, `"`+strings.Repeat("x", 98)+`"`, string(f.messages(t, from(room(), 10)).List[0].Text))
}

// Tests are no messages: no topic counts them, and no subscriber gets them (S11).
func TestTestIsNoMessage(t *testing.T) {
	t.Parallel()
	f := setup(t)
	w := f.topicWebhook(t, room(), "bot")
	message(t, f.Store, room(), "1")
	d, err := f.CreateTest(t.Context(), w, hook.Publication{Type: "room", Cache: "chat", TokenID: "token", Data: []byte(`"test"`)})
	require.NoError(t, err)
	message(t, f.Store, room(), "2")
	require.Equal(t, []int64{1, 2}, sequences(f.messages(t, from(room(), 1))))
	job, err := f.Job(t.Context(), d.ID)
	require.NoError(t, err)
	require.Zero(t, job.Event.Sequence)
	require.Equal(t, "chat", job.Event.Cache)
	require.Equal(t, "token", job.Event.TokenID)
}

// M1: a cache and a name identify one webhook.
func TestWebhookNamed(t *testing.T) {
	t.Parallel()
	f := setup(t)
	other := f.tenant(t, "other")
	w := f.topicWebhook(t, room(), "a/b %2F ü")
	id, err := f.WebhookNamed(t.Context(), hook.DefaultTenant(), "chat", "a/b %2F ü")
	require.NoError(t, err)
	require.Equal(t, w.ID, id)
	for _, missing := range []struct {
		tenant      hook.TenantID
		cache, name string
	}{{other, "chat", "a/b %2F ü"}, {hook.DefaultTenant(), "chat2", "a/b %2F ü"}, {hook.DefaultTenant(), "chat", "a"}} {
		_, err := f.WebhookNamed(t.Context(), missing.tenant, missing.cache, missing.name)
		requireKind(t, hook.KindNotFound, err)
	}
	same := w
	same.Events = []string{"another"}
	_, err = f.CreateWebhook(t.Context(), same)
	requireKind(t, hook.KindConflict, err)
	same.TenantID = other
	_, err = f.CreateWebhook(t.Context(), same)
	require.NoError(t, err)
}

// Other processes get what a process announces; the process itself does not.
func TestAnnounceTopics(t *testing.T) {
	t.Parallel()
	f := setup(t)
	stores := []*storage.Store{f.Store, open(t, f.url, encryptionKey)}
	heard := []chan hook.TopicID{make(chan hook.TopicID, 2000), make(chan hook.TopicID, 2000)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group errgroup.Group
	listening := make(chan struct{}, 2)
	for i, store := range stores {
		group.Go(func() error {
			return store.ListenTopics(ctx, func() { listening <- struct{}{} }, func(topics []hook.TopicID) {
				for _, id := range topics {
					heard[i] <- id
				}
			})
		})
	}
	<-listening
	<-listening
	var topics []hook.TopicID
	for i := range 1000 { // more than fit into one notification
		topic := hook.Topic{Cache: "chat", Name: strconv.Itoa(i)}
		topics = append(topics, topic.ID())
	}
	f.exec(t, `select pg_notify('grapnel_topics', 'not one of ours')`)
	require.NoError(t, stores[0].AnnounceTopics(t.Context(), topics))
	for _, want := range topics {
		require.Equal(t, want, <-heard[1])
	}
	require.NoError(t, stores[1].AnnounceTopics(t.Context(), topics[:1]))
	require.Equal(t, topics[0], <-heard[0], "the first that it hears")
	cancel()
	require.Error(t, group.Wait())
	require.Empty(t, heard[0])
	require.Empty(t, heard[1])
}

// Listening ends with its connection, and the error says that the store is unavailable.
func TestListenTopicsEndsWithItsConnection(t *testing.T) {
	t.Parallel()
	f := setup(t)
	err := f.ListenTopics(t.Context(), func() {
		f.exec(t, `select pg_terminate_backend(pid) from pg_stat_activity where query = 'listen grapnel_topics' and datname = current_database()`)
	}, func([]hook.TopicID) {})
	requireKind(t, hook.KindUnavailable, err)
}

func TestLastSequences(t *testing.T) {
	t.Parallel()
	f := setup(t)
	message(t, f.Store, room(), "1")
	message(t, f.Store, room(), "2")
	empty := &hook.Topic{Cache: "chat", Name: "empty"}
	last, err := f.LastSequences(t.Context(), []hook.TopicID{room().ID(), empty.ID()})
	require.NoError(t, err)
	require.Equal(t, map[hook.TopicID]int64{room().ID(): 2}, last)
}

func TestTopicsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	f := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.Messages(ctx, from(room(), 1))
	require.ErrorIs(t, err, context.Canceled)
	_, err = f.LastSequences(ctx, nil)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, f.AnnounceTopics(ctx, []hook.TopicID{{}}), context.Canceled)
	require.ErrorIs(t, f.ListenTopics(ctx, func() {}, nil), context.Canceled)
}
