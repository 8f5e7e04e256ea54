package crash

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"grapnel/internal/hook"
)

// Evidence is everything that is known at the end of a run.
type Evidence struct {
	Damage       Damage
	Publications []*Publication
	Counts       Counts
	Webhooks     []*Webhook
	Requests     []*Request
	Struck       []Struck
	Store        *Store
	// Listed are the deliveries as the API lists them, by id.
	Listed map[string]Listed
	// Window is the longest time between a repeated request and the strike that caused it.
	Window time.Duration
	// Waits are the durations of the publishes; Survey is the state of the processes.
	Waits  []Wait
	Survey Survey
}

// Rule is the kind of a violation.
type Rule string

// The rules.
const (
	// RuleLost: an accepted event is stored and has a delivery for every matching webhook. Each delivery reaches a
	// final state, and fails only because of its receiver.
	RuleLost Rule = "lost"
	// RuleStuck: nothing is outstanding at the end.
	RuleStuck Rule = "stuck"
	// RuleHalf: an event that was not accepted is stored completely or not at all.
	RuleHalf Rule = "half stored"
	// RulePhantom: only published events are stored and sent.
	RulePhantom Rule = "phantom"
	// RuleArrival: the receiver of a successful delivery has answered it with 2xx.
	RuleArrival Rule = "success without arrival"
	// RuleDuplicate: a request is repeated only because of a strike.
	RuleDuplicate Rule = "duplicate"
	// RuleTwice: a Momento message is never sent twice.
	RuleTwice Rule = "Momento twice"
	// RuleAttempts: attempts are numbered from 1 without gaps, five at most.
	RuleAttempts Rule = "attempts"
	// RuleRecord: every attempt has its request and every request its attempt; an outage of Grapnel uses up no
	// attempt.
	RuleRecord Rule = "record"
	// RuleSequence: a topic's messages are numbered from 1 without gaps.
	RuleSequence Rule = "sequence"
	// RuleAnswer: publishers get 202, 204 or 503, and the same event for the same key.
	RuleAnswer Rule = "answer"
	// RuleList: the API lists the deliveries that the store holds.
	RuleList Rule = "list"
	// RuleRequest: every request is signed and carries the published data.
	RuleRequest Rule = "request"

	// The rules below are the promises that damages with stages test (expect.go).

	// RuleProcess: no API and no worker ends by itself.
	RuleProcess Rule = "process"
	// RuleNeighbour: a publisher that needs nothing of what was struck gets its response, and its delivery is
	// recorded, within a moment.
	RuleNeighbour Rule = "neighbour"
	// RuleLate: deliverable events are delivered during the damage, and a backlog is caught up with in less time than
	// it took to grow.
	RuleLate Rule = "late"
	// RuleEnding: an ended webhook gets no more requests at once, and its backlog is canceled soon.
	RuleEnding Rule = "ending"
	// RuleMemory: a worker uses no more memory than its limit.
	RuleMemory Rule = "memory"
	// RuleClock: times and ids follow the clock.
	RuleClock Rule = "clock"
)

// Violation is a broken rule.
type Violation struct {
	Rule   Rule   `json:"rule"`
	Detail string `json:"detail"`
}

// Findings are the oracle's results.
type Findings struct {
	Violations []Violation
	// Accepted is the number of accepted events, Deliveries the number of their deliveries, and Lost the number of
	// deliveries that did not end for a reason of their receiver's.
	Accepted, Deliveries, Lost int
	// Unknown is the number of events whose publisher got no conclusive response, and Stored the number of those that
	// are stored.
	Unknown, Stored int
	// Duplicates is the number of requests to an endpoint that had answered an earlier request for the same event
	// with 2xx. Repeated is the number of all requests that were repeated because no result was recorded.
	Duplicates, Repeated int
	// Dropped is the number of Momento messages with an unknown result, and Failed the number of deliveries that
	// failed for good.
	Dropped, Failed int
	// Last is the time at which the last delivery ended.
	Last time.Time
	// Measured are the results of the strikes with their own expectations, in words.
	Measured []string
}

// oracle holds the evidence, indexed.
type oracle struct {
	*Evidence
	Findings
	traits     Traits
	published  map[string]*Publication
	events     map[string][]*Event // by reference
	byID       map[string]*Event
	webhooks   map[string]*Webhook
	deliveries map[string][]*Delivery // by event
	attempts   map[string][]*Attempt
	requests   map[[2]string][]*Request // by webhook's name and reference
}

// Check checks all evidence.
func Check(e *Evidence) Findings {
	o := &oracle{
		Evidence: e, traits: Of(e.Damage), published: map[string]*Publication{}, events: map[string][]*Event{}, byID: map[string]*Event{},
		webhooks: map[string]*Webhook{}, deliveries: map[string][]*Delivery{}, attempts: map[string][]*Attempt{}, requests: map[[2]string][]*Request{},
	}
	o.arrange()
	o.checkAnswers()
	for _, p := range e.Publications {
		o.checkPublication(p)
	}
	for _, event := range o.byID {
		o.checkEvent(event)
	}
	for i := range e.Store.Deliveries {
		o.checkDelivery(&e.Store.Deliveries[i])
	}
	o.checkRequests()
	o.checkTopics()
	o.checkLists()
	o.checkExpectations()
	if e.Store.Outbox > 0 {
		o.violated(RuleStuck, "%d events wait to be started", e.Store.Outbox)
	}
	slices.SortStableFunc(o.Violations, func(a, b Violation) int { return compareRules(a.Rule, b.Rule) })
	return o.Findings
}

func compareRules(a, b Rule) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func (o *oracle) violated(rule Rule, format string, args ...any) {
	o.Violations = append(o.Violations, Violation{rule, fmt.Sprintf(format, args...)})
}

// lost reports a violation and also counts it.
func (o *oracle) lost(format string, args ...any) {
	o.Lost++
	o.violated(RuleLost, format, args...)
}

// arrange indexes the evidence.
func (o *oracle) arrange() {
	for _, p := range o.Publications {
		o.published[p.Ref] = p
	}
	for i := range o.Store.Events {
		e := &o.Store.Events[i]
		o.events[e.Ref()] = append(o.events[e.Ref()], e)
		o.byID[e.ID] = e
	}
	for _, w := range o.Webhooks {
		o.webhooks[w.ID] = w
	}
	for i := range o.Store.Deliveries {
		d := &o.Store.Deliveries[i]
		o.deliveries[d.EventID] = append(o.deliveries[d.EventID], d)
	}
	for i := range o.Store.Attempts {
		a := &o.Store.Attempts[i]
		o.attempts[a.DeliveryID] = append(o.attempts[a.DeliveryID], a)
	}
	for _, list := range o.attempts {
		slices.SortFunc(list, func(a, b *Attempt) int { return a.Number - b.Number })
	}
	for _, r := range o.Requests {
		at := [2]string{r.Webhook, r.Ref}
		o.requests[at] = append(o.requests[at], r)
	}
	for _, list := range o.requests {
		slices.SortFunc(list, func(a, b *Request) int { return a.At.Compare(b.At) })
	}
}

// checkAnswers checks the responses that publishers got.
func (o *oracle) checkAnswers() {
	for _, what := range slices.Sorted(maps.Keys(o.Counts.Wrong)) {
		o.violated(RuleAnswer, "%d times: %s", o.Counts.Wrong[what], what)
	}
	if !o.traits.Refuses && o.Counts.Failed() > 0 {
		o.violated(RuleAnswer, "of %d requests %d were refused, %d not answered, %d answered with 503; this damage excuses none",
			o.Counts.Requests, o.Counts.Refused, o.Counts.Unanswered, o.Counts.Unavailable)
	}
}

// checkPublication looks for a publication in the store.
func (o *oracle) checkPublication(p *Publication) {
	found := o.events[p.Ref]
	if p.Wrong != "" {
		o.violated(RuleAnswer, "%s: %s", p.Ref, p.Wrong)
	}
	if len(found) > 1 {
		o.violated(RulePhantom, "%s is stored %d times", p.Ref, len(found))
	}
	switch {
	case p.Accepted:
		o.Accepted++
		if len(found) == 0 {
			o.lost("%s was accepted as %q and is not stored", p.Ref, p.ID)
		} else if p.ID != "" && found[0].ID != p.ID {
			o.lost("%s was accepted as %s and is stored as %s", p.Ref, p.ID, found[0].ID)
		}
	case p.Unknown > 0:
		o.Unknown++
		o.Stored += min(len(found), 1)
	case len(found) > 0:
		o.violated(RulePhantom, "%s was never sent to anybody, and is stored", p.Ref)
	}
	if p.Key == "" {
		return
	}
	switch event, held := o.Store.Keys[p.Key]; {
	case held && len(found) == 0:
		o.violated(RuleHalf, "%s has its key and no event", p.Ref)
	case len(found) > 0 && event != found[0].ID:
		o.violated(RuleHalf, "%s is event %s and its key that of %q", p.Ref, found[0].ID, event)
	}
}

// checkEvent looks for the event's deliveries.
func (o *oracle) checkEvent(e *Event) {
	p := o.published[e.Ref()]
	if p == nil {
		o.violated(RulePhantom, "event %s was never published", e.ID)
		return
	}
	if e.Type != p.Type || e.Cache != p.Cache {
		o.violated(RulePhantom, "%s was published as %s and is stored as %s", p.Ref, p.Type, e.Type)
	}
	got := map[string]int{}
	for _, d := range o.deliveries[e.ID] {
		got[d.WebhookID]++
	}
	expected := 0
	for _, w := range o.Webhooks {
		if !w.Matches(p.Type, p.Cache) {
			continue
		}
		expected++
		if p.Accepted {
			o.Deliveries++
		}
		switch {
		case got[w.ID] == 0 && p.Accepted:
			o.lost("%s (event %s) has no delivery for %s", p.Ref, e.ID, w.Name)
		case got[w.ID] == 0:
			o.violated(RuleHalf, "%s (event %s) is stored without a delivery for %s", p.Ref, e.ID, w.Name)
		case got[w.ID] > 1:
			o.violated(RulePhantom, "%s (event %s) has %d deliveries for %s", p.Ref, e.ID, got[w.ID], w.Name)
		}
		delete(got, w.ID)
	}
	for id := range got {
		o.violated(RulePhantom, "%s (event %s) has a delivery for webhook %s, which does not match", p.Ref, e.ID, id)
	}
	if e.Deliveries != expected {
		o.violated(RuleHalf, "%s (event %s) says it has %d deliveries, not %d", p.Ref, e.ID, e.Deliveries, expected)
	}
}

// checkRequests checks each request on its own.
func (o *oracle) checkRequests() {
	for _, r := range o.Requests {
		if r.Wrong != "" {
			o.violated(RuleRequest, "to %s about %q: %s", r.Webhook, r.Ref, r.Wrong)
			continue
		}
		events := o.events[r.Ref]
		if len(events) == 0 {
			o.violated(RulePhantom, "%s got %s, which is not stored", r.Webhook, r.Ref)
			continue
		}
		if r.EventID != "" && r.EventID != events[0].ID || r.Sequence != 0 && r.Sequence != events[0].Sequence {
			o.violated(RuleRequest, "%s got %s as event %q, number %d; it is %s, number %d", r.Webhook, r.Ref, r.EventID, r.Sequence, events[0].ID, events[0].Sequence)
		}
		sent := slices.ContainsFunc(o.deliveries[events[0].ID], func(d *Delivery) bool {
			w := o.webhooks[d.WebhookID]
			return w != nil && w.Name == r.Webhook
		})
		if !sent {
			o.violated(RulePhantom, "%s got %s, and has no delivery of it", r.Webhook, r.Ref)
		}
	}
}

// checkTopics checks the messages' sequence numbers (M6).
func (o *oracle) checkTopics() {
	numbers := map[[2]string][]int64{}
	for _, e := range o.byID {
		if e.Cache != "" {
			at := [2]string{e.Cache, e.Type}
			numbers[at] = append(numbers[at], e.Sequence)
		}
	}
	last := map[[2]string]int64{}
	for _, t := range o.Store.Topics {
		last[[2]string{t.Cache, t.Name}] = t.Last
	}
	for topic, list := range numbers {
		slices.Sort(list)
		for i, n := range list {
			if n != int64(i)+1 {
				o.violated(RuleSequence, "topic %s: message %d has number %d", topic[1], i+1, n)
				break
			}
		}
		if last[topic] != int64(len(list)) {
			o.violated(RuleSequence, "topic %s has %d messages and says that the last is %d", topic[1], len(list), last[topic])
		}
	}
}

// checkLists compares the API's lists with the store.
func (o *oracle) checkLists() {
	for i := range o.Store.Deliveries {
		d := &o.Store.Deliveries[i]
		want := Listed{WebhookID: d.WebhookID, Status: string(d.State), Attempts: d.Attempts, Outstanding: d.Outstanding}
		if d.State == hook.StateSending {
			want.Status = string(hook.StatePending)
		}
		if got, ok := o.Listed[d.ID]; !ok || got != want {
			o.violated(RuleList, "delivery %s is listed as %+v (%v), not %+v", d.ID, got, ok, want)
		}
	}
	if len(o.Listed) != len(o.Store.Deliveries) {
		o.violated(RuleList, "%d deliveries are listed, and %d stored", len(o.Listed), len(o.Store.Deliveries))
	}
}
