package api

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"grapnel/internal/hook"
)

const (
	// keepAlive is how often a quiet stream sends a comment, so that proxies don't take it for dead.
	keepAlive = 15 * time.Second
	// longestStream bounds a stream, and so how long it can outlive its API key.
	longestStream = 10 * time.Minute
	// streamWrite bounds a write to a client that does not read.
	streamWrite = 30 * time.Second
)

// streamTopic sends items as they arrive until the stream ends. The client then resumes after the last event id that it
// has seen.
func (a *API) streamTopic(ctx context.Context, topic hook.TopicID, from hook.Cursor) (*followOutput, error) {
	// A client that starts at the end gets the current position as its first event id, so that it loses nothing when it
	// reconnects.
	start := from
	if from.Next == 0 {
		bounded, cancel := context.WithTimeout(ctx, a.Config.Timeout)
		defer cancel()
		m, err := a.Store.Messages(bounded, hook.MessageQuery{Topic: topic})
		if err != nil {
			return nil, err
		}
		start = hook.Cursor{Next: m.Last + 1, Page: m.Page}
	}
	return &followOutput{Body: func(answer huma.Context) {
		s := newEventStream(answer)
		if from.Next == 0 {
			s.append("id: " + eventID(start.Page, start.Next-1) + "\n")
		}
		if s.keepAlive() == nil {
			a.sendAsTheyCome(ctx, s, topic, start)
		}
	}}, nil
}

func (a *API) sendAsTheyCome(ctx context.Context, s *eventStream, topic hook.TopicID, from hook.Cursor) {
	end := time.Now().Add(longestStream)
	if key := principal(ctx); key.ExpiresAt != nil && key.ExpiresAt.Before(end) {
		end = *key.ExpiresAt
	}
	ctx, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	ctx, cancelPolling := a.whilePolling(ctx)
	defer cancelPolling()
	for items, err := range a.Topics.Follow(ctx, topic, from, keepAlive) {
		if err != nil {
			a.Logger.WarnContext(ctx, "stream ended", slog.String("topic_id", topic.String()), slog.Any("error", err))
			return
		}
		if s.send(items) != nil {
			return // the client has gone, or does not read
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	w       io.Writer
	control *http.ResponseController
	buffer  []byte
}

func newEventStream(ctx huma.Context) *eventStream {
	ctx.SetHeader("Content-Type", streamType)
	ctx.SetHeader("Cache-Control", "no-store")
	ctx.SetHeader("X-Accel-Buffering", "no") // nginx would collect events before it passes them on
	ctx.SetStatus(http.StatusOK)
	_, w := humago.Unwrap(ctx)
	return &eventStream{w: w, control: http.NewResponseController(w)}
}

func (s *eventStream) append(text string) { s.buffer = append(s.buffer, text...) }

// send sends items. An empty list keeps the stream alive.
func (s *eventStream) send(items []hook.Item) error {
	if len(items) == 0 {
		return s.keepAlive()
	}
	for i := range items {
		item := &items[i]
		last := item.Message.Sequence
		if item.Gap != nil {
			last = item.Gap.Next - 1
		}
		s.append("id: " + eventID(item.Page, last) + "\ndata: ")
		// A JSON string contains no line ends, so one line of data holds it.
		s.buffer = appendItem(s.buffer, item)
		s.append("\n\n")
		if err := s.write(); err != nil {
			return err
		}
	}
	return s.control.Flush()
}

func (s *eventStream) keepAlive() error {
	s.append(": keep-alive\n\n")
	if err := s.write(); err != nil {
		return err
	}
	return s.control.Flush()
}

// write writes the buffer and extends the deadline, because the server's own deadline is for a single answer.
func (s *eventStream) write() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	_, err := s.w.Write(s.buffer)
	s.buffer = s.buffer[:0]
	return err
}

// eventID returns the event id of the position after a message, from which a stream is resumed.
func eventID(page, sequence int64) string {
	return strconv.FormatInt(page, 10) + "." + strconv.FormatInt(sequence, 10)
}
