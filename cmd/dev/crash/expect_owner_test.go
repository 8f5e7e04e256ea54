package crash_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
	"grapnel/internal/hook"
)

// away returns the evidence of a minute without Temporal that ended at noon. The events were published 30 s before
// its end, and their first attempts made at once; the retry followed 3 s after the end.
func away() *crash.Evidence {
	e := staged(crash.AwayTemporal, 0)
	at := noon().Add(-30 * time.Second)
	for _, p := range e.Publications {
		p.Begin, p.At = at.Add(-10*time.Millisecond), at
	}
	for _, i := range []int{0, 2, 3} {
		e.Requests[i].At, e.Requests[i].Until, e.Store.Attempts[i].StartedAt = at, at, at
	}
	return e
}

func TestExpectationOfTemporalAway(t *testing.T) {
	t.Parallel()
	move := func(e *crash.Evidence, i int, by time.Duration) {
		e.Requests[i].At, e.Requests[i].Until = e.Requests[i].At.Add(by), e.Requests[i].Until.Add(by)
		e.Store.Attempts[i].StartedAt = e.Store.Attempts[i].StartedAt.Add(by)
	}
	tests := map[string]struct {
		change func(e *crash.Evidence)
		want   []crash.Rule
	}{
		"at once":                  {func(*crash.Evidence) {}, nil},
		"one waits":                {func(e *crash.Evidence) { move(e, 2, 31*time.Second) }, []crash.Rule{crash.RuleLate}},
		"the retry comes too late": {func(e *crash.Evidence) { move(e, 1, time.Minute) }, []crash.Rule{crash.RuleLate}},
		"nothing had to be retried": {func(e *crash.Evidence) {
			e.Requests[0].Status, e.Store.Attempts[0].Status, e.Store.Attempts[0].Class = 200, 200, ""
			e.Requests, e.Store.Attempts = append(e.Requests[:1], e.Requests[2:]...), append(e.Store.Attempts[:1], e.Store.Attempts[2:]...)
			e.Store.Deliveries[0].Attempts = 1
		}, []crash.Rule{crash.RuleLate}},
		"published before": {func(e *crash.Evidence) {
			for _, p := range e.Publications {
				p.Begin = e.Struck[0].Held[0].Add(-time.Second)
			}
		}, []crash.Rule{crash.RuleLate}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := away()
			test.change(e)
			f := check(e)
			require.Equal(t, test.want, rules(f), "%v", f.Violations)
		})
	}
	require.Equal(t, []string{
		"temporal-away: 3 of 3 first attempts received within 0s of their publish in 1m0s without Temporal, half of them within 10ms; 1 retries within 3s of its return",
	}, check(away()).Measured)
}

// stalled returns the evidence of a process that stood still for the minute before noon. Of three events that it had
// accepted, the first was on the wire when it stopped, and came again; the others waited and came nine seconds later.
func stalled() *crash.Evidence {
	e := staged(crash.StallOwner, 0)
	e.Webhooks = append(e.Webhooks, &crash.Webhook{Name: "owned", Profile: hook.ProfileStandard, Events: []string{"owned.created"}, ID: id(9)})
	begin := e.Struck[0].Held[0]
	for i := range 3 {
		ref, event, delivery := fmt.Sprintf("owned.%d", i), id(31+i), id(41+i)
		at := begin.Add(9 * time.Second)
		e.Publications = append(e.Publications, &crash.Publication{Ref: ref, Type: "owned.created", Accepted: true, ID: event, At: begin.Add(-time.Second)})
		e.Store.Events = append(e.Store.Events, crash.Event{ID: event, Type: "owned.created", Data: []byte(crash.DataOf(ref)), Deliveries: 1})
		e.Store.Deliveries = append(e.Store.Deliveries, crash.Delivery{ID: delivery, EventID: event, WebhookID: id(9), State: hook.StateSuccess, Attempts: 1, UpdatedAt: at})
		e.Store.Attempts = append(e.Store.Attempts, crash.Attempt{DeliveryID: delivery, Number: 1, StartedAt: at, Status: 200})
		request := crash.Request{Webhook: "owned", Ref: ref, EventID: event, Attempt: 1, At: at, Until: at, Status: 200}
		if i == 0 {
			early := request
			early.At, early.Until = begin.Add(-500*time.Millisecond), begin.Add(500*time.Millisecond)
			e.Requests = append(e.Requests, &early)
		}
		e.Requests = append(e.Requests, &request)
	}
	return e
}

func TestExpectationOfTheOwnerThatStandsStill(t *testing.T) {
	t.Parallel()
	const cutOff, waited = 4, 6 // requests
	shift := func(e *crash.Evidence, request int, by time.Duration) {
		e.Requests[request].At, e.Requests[request].Until = e.Requests[request].At.Add(by), e.Requests[request].Until.Add(by)
	}
	later := func(e *crash.Evidence, by time.Duration) {
		for i := range 2 {
			shift(e, waited+i, by)
			e.Store.Attempts[5+i].StartedAt = e.Store.Attempts[5+i].StartedAt.Add(by)
		}
	}
	again := func(e *crash.Evidence, of int, after time.Duration) {
		r := *e.Requests[of]
		r.At, r.Until = r.At.Add(after), r.Until.Add(after)
		e.Requests = append(e.Requests, &r)
	}
	tests := map[string]struct {
		change func(e *crash.Evidence)
		want   []crash.Rule
	}{
		"taken over":      {func(*crash.Evidence) {}, nil},
		"taken over late": {func(e *crash.Evidence) { later(e, 4*time.Second) }, []crash.Rule{crash.RuleLate}},
		"a lost task": {func(e *crash.Evidence) {
			shift(e, waited, 8*time.Second)
			e.Store.Attempts[5].StartedAt = e.Requests[waited].At
		}, nil},
		"one was left": {func(e *crash.Evidence) {
			shift(e, waited, 34*time.Second)
			e.Store.Attempts[5].StartedAt = e.Requests[waited].At
		}, []crash.Rule{crash.RuleLate}},
		"sent on waking":        {func(e *crash.Evidence) { again(e, waited, 51*time.Second) }, []crash.Rule{crash.RuleDuplicate}},
		"sent long before":      {func(e *crash.Evidence) { shift(e, cutOff, -2*time.Second) }, []crash.Rule{crash.RuleDuplicate, crash.RuleLate}},
		"a message twice":       {func(e *crash.Evidence) { again(e, 3, time.Second) }, []crash.Rule{crash.RuleTwice, crash.RuleDuplicate}},
		"a neighbour's waits":   {func(e *crash.Evidence) { e.Struck[0].Probes[3].Recorded = time.Time{} }, []crash.Rule{crash.RuleNeighbour}},
		"nothing was in flight": {func(e *crash.Evidence) { e.Requests = append(e.Requests[:cutOff], e.Requests[cutOff+1:]...) }, []crash.Rule{crash.RuleLate}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := stalled()
			test.change(e)
			f := check(e)
			require.Equal(t, test.want, rules(f), "%v", f.Violations)
		})
	}
	f := check(stalled())
	require.Equal(t, 1, f.Duplicates)
	require.Contains(t, f.Measured, "owner-stalled: 1 first attempts were in flight and 2 waited; another process began them after 9s and made 2 of them within 9s")
}
