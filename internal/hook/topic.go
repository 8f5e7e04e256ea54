package hook

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxNameLength bounds the names of caches, topics and webhooks on Momento's
// surface, in characters (spec 4).
const MaxNameLength = 128

// MaxMessage bounds the text of a message, in bytes (spec 2.4).
const MaxMessage = 64 << 10

// MaxTopicURLLength bounds Momento's postUrl, in characters (M1).
const MaxTopicURLLength = 1024

// Topic names one of Momento's topics, which belongs to a cache of a tenant. It begins to exist with its first message.
type Topic struct {
	TenantID TenantID
	Cache    string
	Name     string
}

// TopicID identifies a topic: the first half of SHA-256 over its names. So every process can compute it without the
// store, and before the topic exists.
type TopicID [16]byte

// ID returns the topic's identifier.
func (t *Topic) ID() TopicID {
	h := sha256.New()
	h.Write(t.TenantID[:])
	// The length comes first, so that two different pairs of names are never hashed as the same bytes.
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(t.Cache))))
	h.Write([]byte(t.Cache))
	h.Write([]byte(t.Name))
	return TopicID(h.Sum(nil)[:16])
}

func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// ParseTopicID parses the output of String.
func ParseTopicID(s string) (id TopicID, err error) {
	if n, err := hex.Decode(id[:], []byte(s)[:min(len(s), 2*len(id))]); err != nil || n != len(id) || len(s) != 2*len(id) {
		return TopicID{}, fmt.Errorf("not a topic id of %d hexadecimal digits", 2*len(id))
	}
	return id, nil
}

// NameProblem describes what is wrong with the trimmed name of a cache, a topic or a Momento webhook; "" if it is
// valid.
func NameProblem(name string) string {
	switch {
	case name == "":
		return "must not be empty"
	case utf8.RuneCountInString(name) > MaxNameLength:
		return fmt.Sprintf("must be at most %d characters", MaxNameLength)
	case !cleanText(name):
		return "must be UTF-8 without control characters"
	default:
		return ""
	}
}

// TrimName removes white space from both ends. Names that differ only in it are the same name (spec 4).
func TrimName(name string) string { return strings.TrimSpace(name) }

// Message is one message of a topic.
type Message struct {
	// Sequence counts the topic's messages from 1, without gaps (M6).
	Sequence int64
	// Text is the message as a JSON string.
	Text []byte
}

// Messages is the part of a topic from a number on.
type Messages struct {
	// Page is the time of the topic's first message, in Unix seconds; 0 while there is none. It differs from that of a
	// topic of the same name that was lost with its messages.
	Page int64
	// Last is the number of the newest message; 0 while there is none.
	Last int64
	// List has the messages, oldest first. Messages that are kept no longer are missing.
	List []Message
}

// MessageQuery selects messages of a topic.
type MessageQuery struct {
	Topic TopicID
	// From is the number of the first message; 0 selects no message, only the topic's position.
	From int64
	// Limit bounds the number of messages, and Bytes the size of their texts together. One message comes in any case.
	Limit int
	Bytes int
	// Age and Newest are how long messages are kept, and how many (M8).
	Age    time.Duration
	Newest int
}

// Cursor is the position of a topic's subscriber.
type Cursor struct {
	// Next is the number of the next message; 0 stands for the message that is published next.
	Next int64
	// Page is the page that Next belongs to; 0 if the subscriber does not know it.
	Page int64
}

// Item is sent to a topic's subscriber: a message, or the notice that messages before the next one are missing (M8).
type Item struct {
	Page    int64
	Message Message
	// Gap is nil for a message.
	Gap *Gap
}

// Gap is the notice that messages are missing.
type Gap struct {
	// Last is the number of the last message before the gap; 0 if there was none.
	Last int64
	// Next is the number of the first message after it.
	Next int64
}
