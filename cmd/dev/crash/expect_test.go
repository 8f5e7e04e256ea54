package crash_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
)

// stage returns a strike that lasted from a minute before noon until noon, with one probe per second that was
// accepted and recorded at once.
func stage(d crash.Damage, number int) crash.Struck {
	begin := noon().Add(-time.Minute)
	s := crash.Struck{
		Strike: crash.Strike{Damage: d, Stage: number, For: time.Minute}, Begin: begin, End: noon(), Held: [2]time.Time{begin, noon()},
	}
	for at := begin; at.Before(noon()); at = at.Add(time.Second) {
		s.Probes = append(s.Probes, crash.Probe{Begin: at, Accepted: at.Add(time.Millisecond), Recorded: at.Add(time.Second)})
	}
	return s
}

// staged returns the evidence of a run with one such strike.
func staged(d crash.Damage, number int) *crash.Evidence {
	e := evidence()
	e.Damage, e.Struck = d, []crash.Struck{stage(d, number)}
	return e
}

// ended returns the ending of a webhook with a backlog that ended correctly.
func ended() *crash.Ending {
	at := noon().Add(-30 * time.Second)
	return &crash.Ending{
		Webhook: "deleted", Backlog: 1000, Asked: at, Answered: at.Add(200 * time.Millisecond), Status: 204, Shown: "canceled",
		Canceled: 998, Attempted: 2, Over: at.Add(2 * time.Second), Requests: []time.Time{at.Add(-time.Second), at.Add(100 * time.Millisecond)},
	}
}

// Each damage with stages has its own expectation: it accepts evidence that meets it and rejects evidence that does
// not.
func TestExpectations(t *testing.T) {
	t.Parallel()
	wait := func(typ, cache, key string, began, took time.Duration) crash.Wait {
		begin := noon().Add(-time.Minute + began)
		return crash.Wait{Type: typ, Cache: cache, Key: key, Begin: begin, End: begin.Add(took), Accepted: true}
	}
	unanswered := func(e *crash.Evidence) {
		e.Struck[0].Probes[3].Accepted = e.Struck[0].Probes[3].Begin.Add(9 * time.Second)
	}
	unrecorded := func(e *crash.Evidence) { e.Struck[0].Probes[3].Recorded = time.Time{} }
	leapt := func(e *crash.Evidence) {
		e.Publications[0].Begin, e.Publications[1].Begin = noon().Add(-time.Second), noon().Add(time.Second)
		e.Publications[0].ID, e.Publications[1].At = idAt(100*24*time.Hour), noon().Add(time.Second)
		rename(e, id(11), idAt(100*24*time.Hour))
		rename(e, id(12), idAt(time.Second))
		e.Store.Events[1].CreatedAt = noon().Add(time.Second)
	}
	tests := map[string]struct {
		damage crash.Damage
		stage  int
		change func(e *crash.Evidence)
		want   []crash.Rule
	}{
		"nobody died":       {crash.LoseNamespace, 0, func(*crash.Evidence) {}, nil},
		"a worker died":     {crash.LoseNamespace, 0, func(e *crash.Evidence) { e.Survey.Died = []string{"worker1"} }, []crash.Rule{crash.RuleProcess}},
		"caught up at once": {crash.StopTemporal, 0, func(*crash.Evidence) {}, nil},
		"caught up late": {crash.StopTemporal, 0, func(e *crash.Evidence) {
			e.Store.Attempts[2].StartedAt, e.Requests[2].At = noon().Add(time.Minute), noon().Add(time.Minute)
		}, []crash.Rule{crash.RuleLate}},
		"what the other API accepted": {crash.CutTemporal, 0, func(*crash.Evidence) {}, nil},
		"started by nobody":           {crash.CutTemporal, 0, unrecorded, []crash.Rule{crash.RuleLate}},
		"too late to tell":            {crash.CutTemporal, 0, func(e *crash.Evidence) { e.Struck[0].Probes[59].Recorded = time.Time{} }, nil},
		"nothing was accepted":        {crash.CutTemporal, 0, func(e *crash.Evidence) { e.Struck[0].Probes = nil }, []crash.Rule{crash.RuleLate}},

		"others go on":                 {crash.Freeze, crash.FreezeAPI, func(*crash.Evidence) {}, nil},
		"another publish waits":        {crash.Freeze, crash.FreezeAPI, unanswered, []crash.Rule{crash.RuleNeighbour}},
		"another record waits":         {crash.Freeze, crash.FreezeAPI, unrecorded, []crash.Rule{crash.RuleNeighbour}},
		"a record waits for a worker":  {crash.Freeze, crash.FreezeWorker, unrecorded, nil},
		"a publish waits for a worker": {crash.Freeze, crash.FreezeWorker, unanswered, []crash.Rule{crash.RuleNeighbour}},
		"a publish that a lock may hold": {crash.Freeze, crash.FreezeAPI, func(e *crash.Evidence) {
			e.Waits = []crash.Wait{wait("chatter", "crash", "", time.Second, 20*time.Second)}
		}, nil},
		"a publish that a lock still holds": {crash.Freeze, crash.FreezeAPI, func(e *crash.Evidence) {
			e.Waits = []crash.Wait{wait("chatter", "crash", "", 30*time.Second, 20*time.Second)}
		}, []crash.Rule{crash.RuleNeighbour}},

		"the topic's own publish waits": {crash.LockRows, crash.LockTopic, func(e *crash.Evidence) {
			e.Struck[0].Locked.Topic, e.Waits = "chatter", []crash.Wait{wait("chatter", "crash", "", time.Second, time.Minute)}
		}, nil},
		"another topic's publish waits": {crash.LockRows, crash.LockTopic, func(e *crash.Evidence) {
			e.Struck[0].Locked.Topic, e.Waits = "chatter", []crash.Wait{wait("alarms", "crash", "", time.Second, time.Minute)}
		}, []crash.Rule{crash.RuleNeighbour}},
		"the key's own publish waits": {crash.LockRows, crash.LockKey, func(e *crash.Evidence) {
			e.Struck[0].Locked.Key, e.Waits = "key 1", []crash.Wait{wait("crash.paid", "", "key 1", time.Second, time.Minute)}
		}, nil},
		"another key's publish waits": {crash.LockRows, crash.LockKey, func(e *crash.Evidence) {
			e.Struck[0].Locked.Key, e.Waits = "key 1", []crash.Wait{wait("crash.paid", "", "key 2", time.Second, time.Minute)}
		}, []crash.Rule{crash.RuleNeighbour}},
		"the webhook's own publish waits": {crash.LockRows, crash.LockWebhook, func(e *crash.Evidence) {
			e.Struck[0].Locked.Webhook, e.Waits = "payments", []crash.Wait{wait("crash.paid", "", "", time.Second, time.Minute)}
		}, nil},
		"another webhook's publish is given up": {crash.LockRows, crash.LockWebhook, func(e *crash.Evidence) {
			e.Struck[0].Locked.Webhook, e.Waits = "payments", []crash.Wait{{Type: "crash.user", Begin: noon().Add(-time.Second), End: noon()}}
		}, []crash.Rule{crash.RuleNeighbour}},
		"another webhook's delivery is sent again": {crash.LockRows, crash.LockWebhook, func(e *crash.Evidence) {
			e.Struck[0].Locked.Webhook = "orders"
			again := *e.Requests[2]
			again.At = again.At.Add(time.Second)
			e.Requests = append(e.Requests, &again)
		}, []crash.Rule{crash.RuleDuplicate}},
		"the locked webhook's delivery is sent again": {crash.LockRows, crash.LockWebhook, func(e *crash.Evidence) {
			e.Struck[0].Locked.Webhook = "payments"
			again := *e.Requests[2]
			again.At = again.At.Add(time.Second)
			e.Requests = append(e.Requests, &again)
		}, nil},

		"ended at once":         {crash.EndWebhooks, crash.EndDeleted, func(*crash.Evidence) {}, nil},
		"deleted and not found": {crash.EndWebhooks, crash.EndDeleted, func(e *crash.Evidence) { e.Struck[0].Ending.Shown = "" }, nil},
		"a neighbour waits":     {crash.EndWebhooks, crash.EndDeleted, unrecorded, []crash.Rule{crash.RuleNeighbour}},
		"refused":               {crash.EndWebhooks, crash.EndDeleted, func(e *crash.Evidence) { e.Struck[0].Ending.Status = 503 }, []crash.Rule{crash.RuleEnding}},
		"answered late":         {crash.EndWebhooks, crash.EndDeleted, func(e *crash.Evidence) { e.Struck[0].Ending.Asked = noon().Add(-time.Minute) }, []crash.Rule{crash.RuleEnding}},
		"sent afterwards": {crash.EndWebhooks, crash.EndDeleted, func(e *crash.Evidence) {
			e.Struck[0].Ending.Requests = append(e.Struck[0].Ending.Requests, noon())
		}, []crash.Rule{crash.RuleEnding}},
		"sent twice":          {crash.EndWebhooks, crash.EndDeleted, func(e *crash.Evidence) { e.Struck[0].Ending.Twice = 1 }, []crash.Rule{crash.RuleEnding}},
		"still shown":         {crash.EndWebhooks, crash.EndDisabled, func(e *crash.Evidence) { e.Struck[0].Ending.Shown = "pending" }, []crash.Rule{crash.RuleEnding}},
		"still outstanding":   {crash.EndWebhooks, crash.EndDisabled, func(e *crash.Evidence) { e.Struck[0].Ending.Outstanding = 1 }, []crash.Rule{crash.RuleEnding}},
		"fewer than were":     {crash.EndWebhooks, crash.EndDisabled, func(e *crash.Evidence) { e.Struck[0].Ending.Canceled-- }, []crash.Rule{crash.RuleEnding}},
		"ended by no request": {crash.EndWebhooks, crash.EndDisabled, func(e *crash.Evidence) { e.Struck[0].Ending.Requests = nil }, []crash.Rule{crash.RuleEnding}},
		"never ended":         {crash.EndWebhooks, crash.EndDisabled, func(e *crash.Evidence) { e.Struck[0].Ending = nil }, []crash.Rule{crash.RuleEnding}},

		"memory within the bound": {crash.FillMemory, 0, func(e *crash.Evidence) { e.Survey.Memory["worker1"] = 512 }, nil},
		"memory above the bound":  {crash.FillMemory, 0, func(e *crash.Evidence) { e.Survey.Memory["worker1"] = 513 }, []crash.Rule{crash.RuleMemory}},
		"memory that nobody saw":  {crash.FillMemory, 0, func(e *crash.Evidence) { e.Survey = crash.Survey{} }, []crash.Rule{crash.RuleMemory}},

		"the clock followed": {crash.LeapClock, 0, leapt, nil},
		"an id that is ahead": {crash.LeapClock, 0, func(e *crash.Evidence) {
			leapt(e)
			rename(e, idAt(time.Second), idAt(100*24*time.Hour+time.Second))
		}, []crash.Rule{crash.RuleClock}},
		"a time that is ahead": {crash.LeapClock, 0, func(e *crash.Evidence) {
			leapt(e)
			e.Store.Events[1].CreatedAt = noon().Add(time.Hour)
		}, []crash.Rule{crash.RuleClock}},
		"nothing was ahead": {crash.LeapClock, 0, func(e *crash.Evidence) {
			leapt(e)
			rename(e, idAt(100*24*time.Hour), idAt(0))
			e.Publications[0].ID = idAt(0)
		}, []crash.Rule{crash.RuleClock}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := staged(test.damage, test.stage)
			e.Struck[0].Ending = ended()
			e.Survey = crash.Survey{Bound: 512, Memory: map[string]int64{"worker1": 100}}
			test.change(e)
			f := check(e)
			require.ElementsMatch(t, test.want, rules(f), "%v", f.Violations)
			for _, text := range f.Measured {
				require.True(t, strings.HasPrefix(text, string(test.damage)) || test.damage == crash.FillMemory, text)
			}
		})
	}
}

// idAt returns a UUIDv7 with a time after noon.
func idAt(after time.Duration) string {
	hex := []byte("000000000000")
	for i, ms := len(hex)-1, noon().Add(after).UnixMilli(); i >= 0; i, ms = i-1, ms>>4 {
		hex[i] = "0123456789abcdef"[ms&15]
	}
	return string(hex[:8]) + "-" + string(hex[8:]) + "-7000-8000-000000000000"
}

// rename replaces an event's id everywhere.
func rename(e *crash.Evidence, from, to string) {
	change := func(id *string) {
		if *id == from {
			*id = to
		}
	}
	for i := range e.Store.Events {
		change(&e.Store.Events[i].ID)
	}
	for i := range e.Store.Deliveries {
		change(&e.Store.Deliveries[i].EventID)
	}
	for _, r := range e.Requests {
		change(&r.EventID)
	}
	for key, id := range e.Store.Keys {
		change(&id)
		e.Store.Keys[key] = id
	}
}
