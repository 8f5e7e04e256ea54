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
	// keepAlive is how often a quiet stream shows that it is there, before proxies
	// take it for dead.
	keepAlive = 15 * time.Second
	// longestStream bounds how long a stream outlives its key.
	longestStream = 10 * time.Minute
	// streamWrite bounds a write to a client that does not read.
	streamWrite = 30 * time.Second
)

// streamTopic sends items as they come, until somebody ends it; then the client
// resumes after the last id that it saw.
func (a *API) streamTopic(ctx context.Context, topic hook.TopicID, from hook.Cursor) (*followOutput, error) {
	// Who wants what is yet to come is told where that begins, so that nothing is
	// lost between this stream and the one that resumes it.
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
	ctx.SetHeader("X-Accel-Buffering", "no") // nginx would gather events before it passes them on
	ctx.SetStatus(http.StatusOK)
	_, w := humago.Unwrap(ctx)
	return &eventStream{w: w, control: http.NewResponseController(w)}
}

func (s *eventStream) append(text string) { s.buffer = append(s.buffer, text...) }

// send sends items; none keep the stream alive.
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
		// A JSON string has no line ends, so that one line of data holds it.
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

// write writes what has been appended, and gives the client time to read it: the
// server's own deadline is that of a single answer.
func (s *eventStream) write() error {
	if err := s.control.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil {
		return err
	}
	_, err := s.w.Write(s.buffer)
	s.buffer = s.buffer[:0]
	return err
}

// eventID names the place after a message: where a stream goes on that is resumed.
func eventID(page, sequence int64) string {
	return strconv.FormatInt(page, 10) + "." + strconv.FormatInt(sequence, 10)
}
