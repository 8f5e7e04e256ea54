package hook

import (
	"fmt"
	"slices"
)

// Start has everything needed to start the workflow of accepted events: of one event, or of several in a burst (see
// Share).
type Start struct {
	EventID EventID
	// TenantID is the tenant of all events; the zero value if they are of several.
	TenantID TenantID
	// EventType is the type of all events; empty if they have different types.
	EventType string
	// Cache is the cache of Momento messages, whose topic is EventType; empty for other events.
	Cache      string
	Deliveries int
	// Bytes is the size of the data of all events.
	Bytes   int
	Targets []Target
	// Others are the further events of a burst. WorkflowID is then the workflow that they share; it is empty for one
	// event, whose workflow has the event's id.
	Others     []EventID
	WorkflowID string
	// Trace is the place of the publish in a trace, if all events of a burst have the same. Otherwise Links has the
	// first of their places.
	Trace Trace
	Links []Trace
	// Owner is the process that makes the first attempts; none if the workflow does.
	Owner ProcessID
	// Fresh is the event as it was just stored, if its first attempts need not load it; else nil.
	Fresh *Fresh
	// Attempted says that the first attempts have been made.
	Attempted bool
	// Ended are the deliveries that need no workflow any more: they are final or deferred.
	Ended []Delivery
}

// Start returns the start of the accepted event's workflow. It is false if the event needs none: no webhook matched,
// all deliveries are deferred, or the event is a duplicate.
func (a *Accepted) Start() (Start, bool) {
	e := &a.Event
	var fresh *Fresh
	if !a.Owner.IsZero() && len(a.Fresh) == a.Due && len(e.Data) <= MaxInline {
		fresh = &Fresh{Event: *e, Deliveries: a.Fresh, ReadAt: a.ReadAt}
	}
	return Start{
		EventID: e.ID, TenantID: e.TenantID, EventType: e.Type, Cache: e.Cache, Deliveries: a.Due, Bytes: len(e.Data),
		Targets: a.Targets, Trace: e.Trace, Owner: a.Owner, Fresh: fresh,
	}, a.Due > 0
}

// IsDone reports whether nothing is left for the workflow.
func (s *Start) IsDone() bool { return s.Attempted && len(s.Ended) == s.Deliveries }

// EventIDs returns all events of the start.
func (s *Start) EventIDs() []EventID { return append([]EventID{s.EventID}, s.Others...) }

// Subject describes the start to a person: the event's type or cache/topic, and how many events there are if there are
// several.
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

// Share merges starts into one, for the workflow.
func Share(workflowID string, starts []Start) Start {
	s := starts[0]
	s.WorkflowID, s.Others, s.Targets, s.Ended = workflowID, nil, slices.Clone(s.Targets), slices.Clone(s.Ended)
	s.Fresh = nil
	s.shareTraces(starts)
	for _, other := range starts[1:] {
		s.Others = append(s.Others, other.EventID)
		s.Deliveries += other.Deliveries
		s.Bytes += other.Bytes
		s.Ended = append(s.Ended, other.Ended...)
		if s.Owner.IsZero() {
			s.Owner = other.Owner
		}
		if other.TenantID != s.TenantID {
			s.TenantID = TenantID{}
		}
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

// shareTraces sets Trace and Links from the traces of a burst.
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
