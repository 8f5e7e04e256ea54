package api

import (
	"context"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"grapnel/internal/hook"
)

type followInput struct {
	TopicPath
	SequenceNumber int64  `query:"sequence_number" minimum:"0" doc:"The number of the next message. Absent or 0: only messages that are published from now on." example:"2"`
	SequencePage   int64  `query:"sequence_page" minimum:"0" doc:"The sequence_page that the number was counted on. Absent or 0: not known." example:"1768480200"`
	LastEventID    string `header:"Last-Event-ID" doc:"Resumes after the event of that id, sequence_page.topic_sequence_number, whatever the query says." example:"1768480200.1"`
}

// The answer is written by hand, so that texts stay byte for byte. These types document it.
type topicItemList struct {
	Items []topicItem `json:"items" doc:"Messages, oldest first. Empty if none was published in time."`
}

type topicItem struct {
	Item          *topicMessage       `json:"item,omitempty" doc:"A message."`
	Discontinuity *topicDiscontinuity `json:"discontinuity,omitempty" doc:"In place of item: messages are missing here, because they are no longer kept."`
}

type topicMessage struct {
	SequencePage        int64      `json:"sequence_page" doc:"Distinguishes this topic from an earlier one of the same name." example:"1768480200"`
	TopicSequenceNumber int64      `json:"topic_sequence_number" doc:"Counts the topic's messages from 1." example:"1"`
	Value               topicValue `json:"value" doc:"The message itself."`
}

type topicValue struct {
	Text string `json:"text" doc:"The message, byte for byte." example:"Hello, squirrels!"`
}

type topicDiscontinuity struct {
	LastTopicSequence int64 `json:"last_topic_sequence" doc:"The number of the last message before the gap; 0 if there was none." example:"1"`
	NewTopicSequence  int64 `json:"new_topic_sequence" doc:"The number of the first message after the gap." example:"5"`
	NewSequencePage   int64 `json:"new_sequence_page" doc:"The page on which the message is counted." example:"1768480200"`
}

type followOutput struct {
	Body func(huma.Context)
}

const streamType = "text/event-stream"

func (a *API) registerFollow() {
	register(a, operation{
		id: "follow-topic", portal: portalClosed, method: http.MethodGet, path: "/topics/{cacheName}/{topicName}", tag: tagMomento,
		scopes: followers(), waits: true, keyAnywhere: true, tokens: true,
		summary: "Follow a topic",
		description: "Waits for messages. It answers as soon as there are any, or after 30 seconds with none. With Accept: " +
			"text/event-stream it sends each item as a server-sent event; a stream ends after 10 minutes, or when its key or " +
			"token expires, and the client resumes it. The key may be a topic token of /v1/topic-tokens.",
		answers: map[string]*huma.MediaType{
			jsonType:   {Schema: a.schemaOf(topicItemList{}, "TopicItemList"), Example: exampleItems()},
			streamType: {Schema: &huma.Schema{Type: huma.TypeString}, Example: exampleStream},
		},
	}, a.followTopic)
}

// followers returns the scopes that allow following topics.
func followers() []hook.Scope {
	return []hook.Scope{hook.ScopeRead, hook.ScopeWebhooks, hook.ScopeSubscribe}
}

func (a *API) followTopic(ctx context.Context, in *followInput) (*followOutput, error) {
	topic, err := in.topic(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkFollowed(ctx, topic); err != nil {
		return nil, err
	}
	from := hook.Cursor{Next: in.SequenceNumber, Page: in.SequencePage}
	if in.LastEventID != "" {
		if from, err = afterEvent(in.LastEventID); err != nil {
			return nil, err
		}
	}
	accept, _ := ctx.Value(acceptKey{}).(string)
	if head, _ := ctx.Value(headKey{}).(bool); head {
		return headOfItems(accept), nil // HEAD does not wait
	}
	if wantsStream(accept) {
		return a.streamTopic(ctx, topic.ID(), from)
	}
	return a.pollTopic(ctx, topic.ID(), from)
}

// headOfItems answers with the headers that an answer with items would have.
func headOfItems(accept string) *followOutput {
	contentType := jsonType
	if wantsStream(accept) {
		contentType = streamType
	}
	return &followOutput{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", contentType)
		ctx.SetHeader("Cache-Control", "no-store")
		ctx.SetStatus(http.StatusOK)
	}}
}

// pollTopic waits for items and answers with the first ones, or with none after Config.LongPoll.
func (a *API) pollTopic(ctx context.Context, topic hook.TopicID, from hook.Cursor) (*followOutput, error) {
	waiting, cancel := a.whilePolling(ctx)
	defer cancel()
	var found []hook.Item
	for items, err := range a.Topics.Follow(waiting, topic, from, a.Config.LongPoll) {
		if err != nil {
			return nil, err
		}
		found = items
		break
	}
	if err := ctx.Err(); err != nil {
		return nil, err // the caller has gone
	}
	return &followOutput{Body: func(ctx huma.Context) {
		ctx.SetHeader("Content-Type", jsonType)
		ctx.SetHeader("Cache-Control", "no-store")
		ctx.SetStatus(http.StatusOK)
		_, _ = ctx.BodyWriter().Write(appendItems(nil, found)) // an error means that the client has gone
	}}, nil
}

// whilePolling returns a context that ends with ctx, and when subscribers have to connect to another process.
func (a *API) whilePolling(ctx context.Context) (context.Context, context.CancelFunc) {
	waiting, cancel := context.WithCancel(ctx)
	forget := context.AfterFunc(a.polling, cancel)
	return waiting, func() {
		forget()
		cancel()
	}
}

// wantsStream reports whether a client with this Accept header prefers server-sent events to JSON.
func wantsStream(accept string) bool {
	return quality(accept, streamType) > quality(accept, jsonType)
}

// quality returns the weight of a media type in an Accept header (RFC 9110, 12.5.1); 0 if the header does not name it.
func quality(accept, want string) float64 {
	for one := range strings.SplitSeq(accept, ",") {
		mediaType, parameters, err := mime.ParseMediaType(one)
		if err != nil || mediaType != want {
			continue
		}
		if q, err := strconv.ParseFloat(parameters["q"], 64); err == nil {
			return q
		}
		return 1
	}
	return 0
}

// afterEvent returns the position after the server-sent event with an id.
func afterEvent(id string) (hook.Cursor, error) {
	page, sequence, _ := strings.Cut(id, ".")
	p, err := strconv.ParseUint(page, 10, 63)
	if err == nil {
		var n uint64
		if n, err = strconv.ParseUint(sequence, 10, 62); err == nil {
			return hook.Cursor{Next: int64(n) + 1, Page: int64(p)}, nil
		}
	}
	return hook.Cursor{}, malformed("header.Last-Event-ID", "is not the id of an event of this stream")
}

// appendItems appends the answer to a poll.
func appendItems(b []byte, items []hook.Item) []byte {
	b = append(b, `{"items":[`...)
	for i := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendItem(b, &items[i])
	}
	return append(b, "]}\n"...)
}

// appendItem appends an item. Its text is the JSON string that was stored.
func appendItem(b []byte, i *hook.Item) []byte {
	if i.Gap != nil {
		b = strconv.AppendInt(append(b, `{"discontinuity":{"last_topic_sequence":`...), i.Gap.Last, 10)
		b = strconv.AppendInt(append(b, `,"new_topic_sequence":`...), i.Gap.Next, 10)
		b = strconv.AppendInt(append(b, `,"new_sequence_page":`...), i.Page, 10)
		return append(b, "}}"...)
	}
	b = strconv.AppendInt(append(b, `{"item":{"sequence_page":`...), i.Page, 10)
	b = strconv.AppendInt(append(b, `,"topic_sequence_number":`...), i.Message.Sequence, 10)
	b = append(append(b, `,"value":{"text":`...), i.Message.Text...)
	return append(b, "}}}"...)
}

func exampleItems() topicItemList {
	return topicItemList{Items: []topicItem{
		{Item: &topicMessage{SequencePage: 1768480200, TopicSequenceNumber: 1, Value: topicValue{Text: "Hello, squirrels!"}}},
		{Discontinuity: &topicDiscontinuity{LastTopicSequence: 1, NewTopicSequence: 5, NewSequencePage: 1768480200}},
	}}
}

const exampleStream = `id: 1768480200.1
data: {"item":{"sequence_page":1768480200,"topic_sequence_number":1,"value":{"text":"Hello, squirrels!"}}}

`
