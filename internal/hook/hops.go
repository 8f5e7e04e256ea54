package hook

import (
	"errors"
	"strings"
)

// HopsHeader has the chain of events that led to a request: ids, oldest first, separated by commas. The last one is the
// request's own event. A receiver that publishes because of a request passes the header on, so that endless loops end.
const HopsHeader = "webhook-hops"

// MaxHops bounds the chain of events that led to a publish. A publish with a longer chain is refused.
const MaxHops = 3

// ParseHops parses the values of a request's HopsHeader.
func ParseHops(values []string) ([]EventID, error) {
	var hops []EventID
	for _, value := range values {
		for one := range strings.SplitSeq(value, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			id, err := ParseEventID(one)
			if err != nil {
				return nil, errors.New("must be event ids, oldest first, separated by commas, as they came in the header of that name")
			}
			if hops = append(hops, id); len(hops) > MaxHops {
				return hops, nil // that is one too many, and enough to refuse the publish
			}
		}
	}
	return hops, nil
}

// Chain returns the HopsHeader of the event's requests.
func (e *Event) Chain() string {
	var b strings.Builder
	for _, id := range e.Hops {
		b.WriteString(id.String() + ", ")
	}
	return b.String() + e.ID.String()
}

// HopBytes returns a chain as it is stored; nil if it is empty.
func HopBytes(hops []EventID) (b []byte) {
	for _, id := range hops {
		b = append(b, id[:]...)
	}
	return b
}

// HopsOf parses the output of HopBytes. Anything else gives an empty chain.
func HopsOf(b []byte) (hops []EventID) {
	const size = len(EventID{})
	if len(b)%size != 0 {
		return nil
	}
	for ; len(b) > 0; b = b[size:] {
		hops = append(hops, EventID(b[:size]))
	}
	return hops
}
