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

// Topic names one of Momento's topics, which lives in a cache of a tenant. It
// comes into being with its first message.
type Topic struct {
	TenantID TenantID
	Cache    string
	Name     string
}

// TopicID identifies a topic: the first half of SHA-256 over its names. So every
// process knows it without asking, and before there is such a topic.
type TopicID [16]byte

// ID is the topic's identifier.
func (t *Topic) ID() TopicID {
	h := sha256.New()
	h.Write(t.TenantID[:])
	// The length first, so that no two pairs of names run together alike.
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(t.Cache))))
	h.Write([]byte(t.Cache))
	h.Write([]byte(t.Name))
	return TopicID(h.Sum(nil)[:16])
}

func (id TopicID) String() string { return hex.EncodeToString(id[:]) }

// ParseTopicID reads what String wrote.
func ParseTopicID(s string) (id TopicID, err error) {
	if n, err := hex.Decode(id[:], []byte(s)[:min(len(s), 2*len(id))]); err != nil || n != len(id) || len(s) != 2*len(id) {
		return TopicID{}, fmt.Errorf("not a topic id of %d hexadecimal digits", 2*len(id))
	}
	return id, nil
}

// NameProblem says what is wrong with the name of a cache, a topic or a Momento
// webhook, which has been trimmed; "" if nothing is.
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

// TrimName takes white space off both ends: names that differ by it alone are
// one name (spec 4).
func TrimName(name string) string { return strings.TrimSpace(name) }

// Message is one message of a topic.
type Message struct {
	// Sequence counts the topic's messages from 1, without gaps (M6).
	Sequence int64
	// Text is the message as a JSON string.
	Text []byte
}

// Messages are what a topic has from some number on.
type Messages struct {
	// Page tells this topic from one of the same name that was lost with its
	// messages: Unix seconds of its first message; 0 while there is none.
	Page int64
	// Last is the number of the newest message; 0 while there is none.
	Last int64
	// List is the first of the messages asked for, oldest first. Some that were
	// asked for may be missing, because they are kept no longer.
	List []Message
}

// MessageQuery asks for messages of a topic.
type MessageQuery struct {
	Topic TopicID
	// From is the number of the first message wanted; 0 wants none, only where the
	// topic is.
	From int64
	// Limit is how many at most; Bytes is how large a text may make the list, which
	// has one message all the same.
	Limit int
	Bytes int
	// Age and Newest are how long messages are kept, and how many (M8).
	Age    time.Duration
	Newest int
}

// Cursor is where a subscriber of a topic is.
type Cursor struct {
	// Next is the number of the message wanted next; 0 wants what is yet to come.
	Next int64
	// Page is the page that Next counts on; 0 if the subscriber does not know.
	Page int64
}

// Item is what a subscriber of a topic gets: a message, or the news that some are
// missing before the next (M8).
type Item struct {
	Page    int64
	Message Message
	// Gap is nil for a message.
	Gap *Gap
}

// Gap tells that messages are missing.
type Gap struct {
	// Last is the number of the last one before the gap; 0 if the subscriber can't
	// have had any.
	Last int64
	// Next is the number of the first one after it.
	Next int64
}
