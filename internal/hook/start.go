package hook

import (
	"fmt"
	"slices"
)

// Start is what it takes to start the workflow of accepted events: of one, or in a
// burst of several (see Share).
type Start struct {
	EventID  EventID
	TenantID TenantID
	// EventType is that of all the events; empty if they differ.
	EventType string
	// Cache is that of Momento messages, whose topic EventType is; empty otherwise.
	Cache      string
	Deliveries int
	// Bytes is how many the data of all the events have.
	Bytes   int
	Targets []Target
	// Others are the further events of a burst, and WorkflowID is then the workflow
	// they share; empty for one event, whose workflow has its id.
	Others     []EventID
	WorkflowID string
	// Trace is where the event was published, and all of a burst if they were in one
	// place; otherwise Links are the first of their places.
	Trace Trace
	Links []Trace
}

// Start is what it takes to start the accepted event's workflow; false when it needs
// none, because nothing matched, all that did waits, or an earlier publish stands for it.
func (a *Accepted) Start() (Start, bool) {
	e := &a.Event
	return Start{
		EventID: e.ID, TenantID: e.TenantID, EventType: e.Type, Cache: e.Cache, Deliveries: a.Due, Bytes: len(e.Data),
		Targets: a.Targets, Trace: e.Trace,
	}, a.Due > 0
}

// EventIDs are all the events of the start.
func (s *Start) EventIDs() []EventID { return append([]EventID{s.EventID}, s.Others...) }

// Subject is what the start is about, for a person: its event's type, or
// cache/topic, or how many there are.
func (s *Start) Subject() string {
	what := s.EventType
	if s.Cache != "" {
		what = s.Cache + "/" + s.EventType
	}
	switch {
	case len(s.Others) == 0:
		return what
	case what == "":
		return fmt.Sprintf("%d events", len(s.Others)+1)
	default:
		return fmt.Sprintf("%d × %s", len(s.Others)+1, what)
	}
}

// Share makes one start of several of one tenant, for the workflow.
func Share(workflowID string, starts []Start) Start {
	s := starts[0]
	s.WorkflowID, s.Others, s.Targets = workflowID, nil, slices.Clone(s.Targets)
	s.shareTraces(starts)
	for _, other := range starts[1:] {
		s.Others = append(s.Others, other.EventID)
		s.Deliveries += other.Deliveries
		s.Bytes += other.Bytes
		if other.EventType != s.EventType || other.Cache != s.Cache {
			s.EventType, s.Cache = "", ""
		}
		for _, t := range other.Targets {
			if len(s.Targets) < MaxTargets && !slices.Contains(s.Targets, t) {
				s.Targets = append(s.Targets, t)
			}
		}
	}
	return s
}

// maxLinks bounds the links of a burst's trace.
const maxLinks = 50

// shareTraces joins the traces of a burst.
func (s *Start) shareTraces(starts []Start) {
	s.Links = nil
	for i := range starts {
		if t := starts[i].Trace; !t.IsZero() && len(s.Links) < maxLinks && !slices.Contains(s.Links, t) {
			s.Links = append(s.Links, t)
		}
	}
	if s.Trace = (Trace{}); len(s.Links) == 1 {
		s.Trace, s.Links = s.Links[0], nil
	}
}
