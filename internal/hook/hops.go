package hook

import (
	"errors"
	"strings"
)

// HopsHeader names the chain of events that a request comes from: ids, oldest first,
// separated by commas, the last of them the request's own event. A receiver that publishes
// because of what it got passes it on, so that what would go round for ever ends.
const HopsHeader = "webhook-hops"

// MaxHops is how many events a publish may come from: what comes from our own delivery
// deeper than that is refused.
const MaxHops = 3

// ParseHops reads the values of a request's HopsHeader.
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
				return hops, nil // one too many is enough
			}
		}
	}
	return hops, nil
}

// Chain is the HopsHeader of the event's requests.
func (e *Event) Chain() string {
	var b strings.Builder
	for _, id := range e.Hops {
		b.WriteString(id.String() + ", ")
	}
	return b.String() + e.ID.String()
}

// HopBytes is how a chain is stored; nil where there is none.
func HopBytes(hops []EventID) (b []byte) {
	for _, id := range hops {
		b = append(b, id[:]...)
	}
	return b
}

// HopsOf reads what HopBytes wrote; anything else is no chain.
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
