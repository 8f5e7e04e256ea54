package storage

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"grapnel/internal/hook"
)

// Messages reads a topic's kept messages from a number on, oldest first, and the topic's position. A topic without
// messages is no error.
func (s *Store) Messages(ctx context.Context, q hook.MessageQuery) (hook.Messages, error) {
	// The bound on ids excludes the partitions of earlier days.
	rows, _ := s.pool.Query(ctx, `
		select t.page, t.last_sequence, m.sequence, m.data
		from topics t left join lateral (
			select sequence, data, sum(length(data)) over (order by sequence) - length(data) as before
			from (
				select e.sequence, e.data from events e
				where e.topic_id = t.id and e.sequence >= @from and @from > 0 and e.sequence > t.last_sequence - @newest
					and e.id >= @oldest
				order by e.sequence limit @limit
			) e
		) m on m.before < @bytes
		where t.id = @topic
		order by m.sequence`, pgx.StrictNamedArgs{
		"topic": [16]byte(q.Topic), "from": q.From, "limit": q.Limit, "bytes": q.Bytes, "newest": q.Newest,
		"oldest": hook.IDTime(time.Now().Add(-q.Age)),
	})
	var m hook.Messages
	var sequence *int64
	var text []byte
	_, err := pgx.ForEachRow(rows, []any{&m.Page, &m.Last, &sequence, &text}, func() error {
		if sequence != nil {
			m.List = append(m.List, hook.Message{Sequence: *sequence, Text: text})
			text = nil // it is the message's now, and not to be written over
		}
		return nil
	})
	if err != nil {
		return hook.Messages{}, mapErr(fmt.Errorf("read messages of topic %s: %w", q.Topic, err))
	}
	return m, nil
}

// LastSequences returns the number of the newest message of each topic that has one.
func (s *Store) LastSequences(ctx context.Context, topics []hook.TopicID) (map[hook.TopicID]int64, error) {
	rows, _ := s.pool.Query(ctx, `select id, last_sequence from topics where id = any($1)`, raw(topics))
	last := make(map[hook.TopicID]int64, len(topics))
	var id hook.TopicID
	var sequence int64
	_, err := pgx.ForEachRow(rows, []any{(*[16]byte)(&id), &sequence}, func() error {
		last[id] = sequence
		return nil
	})
	if err != nil {
		return nil, mapErr(fmt.Errorf("read %d topics: %w", len(topics), err))
	}
	return last, nil
}

// The channel on which processes announce messages to each other. A payload is the sender's origin followed by topic
// ids, all in hexadecimal; PostgreSQL bounds it to 8,000 bytes.
const (
	topicChannel     = "grapnel_topics"
	originLength     = 16
	topicIDLength    = 32
	topicsPerPayload = 200
)

func newOrigin() string {
	b := make([]byte, originLength/2)
	rand.Read(b) // it never fails since Go 1.24
	return hex.EncodeToString(b)
}

// AnnounceTopics announces to other processes that these topics have new messages. It is called after the commit, not
// before: PostgreSQL commits transactions that notify only one after the other.
func (s *Store) AnnounceTopics(ctx context.Context, topics []hook.TopicID) error {
	for len(topics) > 0 {
		n := min(len(topics), topicsPerPayload)
		var b strings.Builder
		b.WriteString(s.origin)
		for _, id := range topics[:n] {
			b.WriteString(id.String())
		}
		// It writes nothing, so it need not wait for the disk.
		_, err := s.pool.Exec(ctx, `select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`, topicChannel, b.String())
		if err != nil {
			return mapErr(fmt.Errorf("announce %d topics: %w", n, err))
		}
		topics = topics[n:]
	}
	return nil
}

// ListenTopics calls listening as soon as it hears the announcements of other processes, and then heard for each
// announcement. It uses a connection of its own, and returns when that breaks or ctx ends. Behind a connection pooler
// it returns nil at once: it would hear nothing there, and another user of the connection would hear it instead.
func (s *Store) ListenTopics(ctx context.Context, listening func(), heard func([]hook.TopicID)) error {
	config := s.direct
	if config == nil {
		config = s.pool.Config().ConnConfig
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return mapErr(fmt.Errorf("listen to topics: %w", err))
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing was written
	pooled, err := setSession(ctx, conn)
	if err != nil {
		return mapErr(fmt.Errorf("listen to topics: %w", err))
	}
	if pooled {
		return nil
	}
	if _, err := conn.Exec(ctx, `listen `+topicChannel); err != nil {
		return mapErr(fmt.Errorf("listen to topics: %w", err))
	}
	listening()
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return mapErr(fmt.Errorf("listen to topics: %w", err))
		}
		if topics := s.announced(n.Payload); len(topics) > 0 {
			heard(topics)
		}
	}
}

// announced parses a payload. It returns nothing for this store's own payloads and for payloads of other programs.
func (s *Store) announced(payload string) []hook.TopicID {
	if len(payload) < originLength || payload[:originLength] == s.origin {
		return nil
	}
	payload = payload[originLength:]
	topics := make([]hook.TopicID, 0, len(payload)/topicIDLength)
	for len(payload) >= topicIDLength {
		id, err := hook.ParseTopicID(payload[:topicIDLength])
		if err != nil {
			return nil
		}
		topics = append(topics, id)
		payload = payload[topicIDLength:]
	}
	return topics
}
