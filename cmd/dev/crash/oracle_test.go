package crash_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/cmd/dev/crash"
	"grapnel/internal/hook"
)

// noon returns the time at which the evidence begins.
func noon() time.Time { return time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC) }

// id returns a UUID that contains n.
func id(n int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) }

// evidence returns the evidence of a run without errors: a keyed event with a delivery to a standard webhook, which
// succeeded at the second attempt, and one to a Commenda webhook, and a Momento message. There was a strike a minute
// later.
func evidence() *crash.Evidence {
	standard := &crash.Webhook{Name: "orders", Profile: hook.ProfileStandard, Events: []string{"crash.*"}, ID: id(1)}
	commenda := &crash.Webhook{Name: "payments", Profile: hook.ProfileCommenda, Events: []string{"crash.paid"}, ID: id(2)}
	momento := &crash.Webhook{Name: "chat", Profile: hook.ProfileMomento, Events: []string{"chatter"}, Cache: "crash", ID: id(3)}
	text := []byte(`"` + string(escape(crash.DataOf("2"))) + `"`)
	at := noon()
	e := &crash.Evidence{
		Damage: crash.KillWorker, Window: 5 * time.Second, Webhooks: []*crash.Webhook{standard, commenda, momento},
		Publications: []*crash.Publication{
			{Ref: "1", Type: "crash.paid", Key: "key 1", Accepted: true, ID: id(11), At: at},
			{Ref: "2", Type: "chatter", Cache: "crash", Accepted: true, At: at},
		},
		Struck: []crash.Struck{{Strike: crash.Strike{Damage: crash.KillWorker}, Begin: at.Add(time.Minute), End: at.Add(time.Minute + time.Second), Killed: 1}},
		Requests: []*crash.Request{
			{Webhook: "orders", Ref: "1", EventID: id(11), Attempt: 1, At: at, Until: at, Status: 500},
			{Webhook: "orders", Ref: "1", EventID: id(11), Attempt: 2, At: at.Add(3 * time.Second), Until: at.Add(3 * time.Second), Status: 200},
			{Webhook: "payments", Ref: "1", EventID: id(11), At: at, Until: at, Status: 200},
			{Webhook: "chat", Ref: "2", Sequence: 1, At: at, Until: at, Status: 200},
		},
		Store: &crash.Store{
			Events: []crash.Event{
				{ID: id(11), Type: "crash.paid", Data: []byte(crash.DataOf("1")), Deliveries: 2},
				{ID: id(12), Type: "chatter", Cache: "crash", Data: text, Deliveries: 1, Sequence: 1},
			},
			Deliveries: []crash.Delivery{
				{ID: id(21), EventID: id(11), WebhookID: id(1), State: hook.StateSuccess, Attempts: 2, UpdatedAt: at.Add(3 * time.Second)},
				{ID: id(22), EventID: id(11), WebhookID: id(2), State: hook.StateSuccess, Attempts: 1, UpdatedAt: at},
				{ID: id(23), EventID: id(12), WebhookID: id(3), State: hook.StateSuccess, Attempts: 1, UpdatedAt: at},
			},
			Attempts: []crash.Attempt{
				{DeliveryID: id(21), Number: 1, StartedAt: at, Status: 500, Class: hook.ClassStatus},
				{DeliveryID: id(21), Number: 2, StartedAt: at.Add(3 * time.Second), Status: 200},
				{DeliveryID: id(22), Number: 1, StartedAt: at, Status: 200},
				{DeliveryID: id(23), Number: 1, StartedAt: at, Status: 200},
			},
			Topics: []crash.Topic{{Cache: "crash", Name: "chatter", Last: 1}},
			Keys:   map[string]string{"key 1": id(11)},
		},
	}
	return e
}

// escape returns the inside of a JSON string in canonical form.
func escape(text string) []byte {
	var out []byte
	for i := range len(text) {
		if text[i] == '"' {
			out = append(out, '\\')
		}
		out = append(out, text[i])
	}
	return out
}

// check runs the oracle. Unless the evidence has its own list, the API lists what the store holds.
func check(e *crash.Evidence) crash.Findings {
	if e.Listed == nil {
		relist(e)
	}
	return crash.Check(e)
}

func relist(e *crash.Evidence) {
	e.Listed = map[string]crash.Listed{}
	for _, d := range e.Store.Deliveries {
		e.Listed[d.ID] = crash.Listed{WebhookID: d.WebhookID, Status: string(d.State), Attempts: d.Attempts, Outstanding: d.Outstanding}
	}
}

// rules returns the violated rules.
func rules(f crash.Findings) []crash.Rule {
	found := map[crash.Rule]bool{}
	for _, v := range f.Violations {
		found[v.Rule] = true
	}
	return slices.Sorted(maps.Keys(found))
}

func TestOracleFindsNothingWhereAllWentWell(t *testing.T) {
	t.Parallel()
	f := check(evidence())
	require.Empty(t, f.Violations)
	require.Equal(t, 2, f.Accepted)
	require.Equal(t, 3, f.Deliveries)
	require.Zero(t, f.Lost+f.Duplicates+f.Repeated+f.Dropped+f.Failed+f.Unknown)
	require.Equal(t, noon().Add(3*time.Second), f.Last)
}

// sixAttempts gives the first delivery five failed attempts and a success.
func sixAttempts(e *crash.Evidence) {
	e.Store.Deliveries[0].Attempts = 6
	for n := 2; n <= 6; n++ {
		at := noon().Add(time.Duration(n) * 3 * time.Second)
		if n > 2 {
			e.Store.Attempts = append(e.Store.Attempts, crash.Attempt{DeliveryID: id(21), Number: n, StartedAt: at, Status: 200})
			e.Requests = append(e.Requests, &crash.Request{Webhook: "orders", Ref: "1", EventID: id(11), Attempt: n, At: at, Until: at, Status: 200})
		}
	}
	e.Requests[1].Status, e.Store.Attempts[1].Status = 500, 500
	for i := 4; i < len(e.Requests)-1; i++ {
		e.Requests[i].Status, e.Store.Attempts[i].Status = 500, 500
	}
}

// A worker that stands still in an attempt, and another that makes it meanwhile, may both record it. The log then has six,
// of five numbers.
func TestOracleKnowsAnAttemptThatWasMadeTwice(t *testing.T) {
	t.Parallel()
	e := evidence()
	sixAttempts(e)
	e.Requests[4].Attempt = 2 // that of the third attempt
	e.Struck[0].Begin, e.Struck[0].End = noon(), noon().Add(time.Minute)
	require.Empty(t, check(e).Violations)
	e.Struck[0].Begin, e.Struck[0].End = noon().Add(time.Hour), noon().Add(2*time.Hour)
	require.NotEmpty(t, check(e).Violations, "nothing was struck then")
}

// The oracle finds every kind of violation and names its rule.
func TestOracleFindsViolations(t *testing.T) {
	t.Parallel()
	struckNow := func(e *crash.Evidence) { e.Struck[0].Begin, e.Struck[0].End = noon(), noon().Add(time.Second) }
	again := func(e *crash.Evidence, of int, after time.Duration) {
		r := *e.Requests[of]
		r.At, r.Until = r.At.Add(after), r.Until.Add(after)
		e.Requests = append(e.Requests, &r)
	}
	tests := map[string]struct {
		change func(e *crash.Evidence)
		want   []crash.Rule
		lost   int
	}{
		"an accepted event is gone": {func(e *crash.Evidence) {
			e.Store.Events, e.Store.Deliveries, e.Store.Attempts, e.Requests = e.Store.Events[1:], e.Store.Deliveries[2:], e.Store.Attempts[3:], e.Requests[3:]
			e.Store.Keys = nil
		}, []crash.Rule{crash.RuleLost}, 1},
		"an accepted event is another": {func(e *crash.Evidence) { e.Publications[0].ID = id(99) }, []crash.Rule{crash.RuleLost}, 1},
		"an accepted event lacks a delivery": {func(e *crash.Evidence) {
			e.Store.Deliveries, e.Store.Attempts, e.Requests = slices.Delete(e.Store.Deliveries, 1, 2), slices.Delete(e.Store.Attempts, 2, 3), slices.Delete(e.Requests, 2, 3)
		}, []crash.Rule{crash.RuleLost}, 1},
		"an event of unknown outcome lacks a delivery": {func(e *crash.Evidence) {
			e.Publications[0].Accepted, e.Publications[0].Unknown = false, 1
			e.Store.Deliveries, e.Store.Attempts, e.Requests = slices.Delete(e.Store.Deliveries, 1, 2), slices.Delete(e.Store.Attempts, 2, 3), slices.Delete(e.Requests, 2, 3)
		}, []crash.Rule{crash.RuleHalf}, 0},
		"an event counts its deliveries wrong": {func(e *crash.Evidence) { e.Store.Events[0].Deliveries = 3 }, []crash.Rule{crash.RuleHalf}, 0},
		"a key without its event":              {func(e *crash.Evidence) { e.Store.Keys["key 1"] = id(99) }, []crash.Rule{crash.RuleHalf}, 0},
		"a key and no event at all": {func(e *crash.Evidence) {
			e.Publications = append(e.Publications, &crash.Publication{Ref: "3", Type: "crash.paid", Key: "key 3", Unknown: 1})
			e.Store.Keys["key 3"] = id(99)
		}, []crash.Rule{crash.RuleHalf}, 0},
		"a delivery is outstanding": {func(e *crash.Evidence) {
			e.Store.Deliveries[0].State, e.Store.Deliveries[0].Outstanding = hook.StateFailed, true
		}, []crash.Rule{crash.RuleStuck}, 1},
		"an event waits to be started": {func(e *crash.Evidence) { e.Store.Outbox = 1 }, []crash.Rule{crash.RuleStuck}, 0},
		"failed before the fifth attempt": {func(e *crash.Evidence) {
			e.Store.Deliveries[0].State, e.Store.Attempts[1].Status, e.Requests[1].Status = hook.StateFailed, 500, 500
		}, []crash.Rule{crash.RuleLost}, 1},
		"canceled by nobody": {func(e *crash.Evidence) { e.Store.Deliveries[1].State = hook.StateCanceled }, []crash.Rule{crash.RuleLost}, 1},
		"a message dropped where nothing that drops was done": {func(e *crash.Evidence) {
			e.Damage, e.Struck = crash.KillTemporal, nil
			e.Store.Deliveries[2].State = hook.StateDropped
		}, []crash.Rule{crash.RuleLost}, 1},
		"a success that its receiver refused": {func(e *crash.Evidence) { e.Requests[2].Status = 500 }, []crash.Rule{crash.RuleRecord, crash.RuleArrival}, 0},
		"a success that never came":           {func(e *crash.Evidence) { e.Requests = slices.Delete(e.Requests, 2, 3) }, []crash.Rule{crash.RuleRecord, crash.RuleArrival}, 0},
		"sent again long before a kill":       {func(e *crash.Evidence) { again(e, 2, 2*time.Second) }, []crash.Rule{crash.RuleDuplicate}, 0},
		"a failed request not recorded":       {func(e *crash.Evidence) { again(e, 0, -2*time.Second) }, []crash.Rule{crash.RuleDuplicate}, 0},
		"a message twice, by a kill": {func(e *crash.Evidence) {
			struckNow(e)
			again(e, 3, 2*time.Second)
		}, []crash.Rule{crash.RuleTwice}, 0},
		"attempts with a gap":                  {func(e *crash.Evidence) { e.Store.Attempts[1].Number, e.Requests[1].Attempt = 3, 3 }, []crash.Rule{crash.RuleAttempts}, 0},
		"attempts not from one":                {func(e *crash.Evidence) { e.Store.Attempts[2].Number = 2 }, []crash.Rule{crash.RuleAttempts}, 0},
		"attempts miscounted":                  {func(e *crash.Evidence) { e.Store.Deliveries[0].Attempts = 1 }, []crash.Rule{crash.RuleAttempts}, 0},
		"six attempts":                         {sixAttempts, []crash.Rule{crash.RuleAttempts}, 0},
		"an attempt used up without a request": {func(e *crash.Evidence) { e.Requests = e.Requests[1:] }, []crash.Rule{crash.RuleRecord}, 0},
		"an attempt with another number":       {func(e *crash.Evidence) { e.Requests[1].Attempt = 1 }, []crash.Rule{crash.RuleRecord, crash.RuleDuplicate}, 0},
		"a gap in a topic": {
			func(e *crash.Evidence) {
				e.Store.Events[1].Sequence, e.Requests[3].Sequence, e.Store.Topics[0].Last = 2, 2, 2
			},
			[]crash.Rule{crash.RuleSequence},
			0,
		},
		"a topic counted on":      {func(e *crash.Evidence) { e.Store.Topics[0].Last = 2 }, []crash.Rule{crash.RuleSequence}, 0},
		"an answer of 500":        {func(e *crash.Evidence) { e.Counts.Wrong = map[string]int{"HTTP 500": 1} }, []crash.Rule{crash.RuleAnswer}, 0},
		"a 503 without a reason":  {func(e *crash.Evidence) { e.Counts.Unavailable = 1 }, []crash.Rule{crash.RuleAnswer}, 0},
		"two answers for one key": {func(e *crash.Evidence) { e.Publications[0].Wrong = "accepted as another" }, []crash.Rule{crash.RuleAnswer}, 0},
		"a list with another state": {func(e *crash.Evidence) {
			relist(e)
			e.Listed[id(21)] = crash.Listed{WebhookID: id(1), Status: "failed", Attempts: 2}
		}, []crash.Rule{crash.RuleList}, 0},
		"a list that lacks one":         {func(e *crash.Evidence) { relist(e); delete(e.Listed, id(21)) }, []crash.Rule{crash.RuleList}, 0},
		"a bad signature":               {func(e *crash.Evidence) { e.Requests[0].Wrong = "signature" }, []crash.Rule{crash.RuleRequest}, 0},
		"a request about another event": {func(e *crash.Evidence) { e.Requests[0].EventID = id(99) }, []crash.Rule{crash.RuleRequest}, 0},
		"a message with another number": {func(e *crash.Evidence) { e.Requests[3].Sequence = 2 }, []crash.Rule{crash.RuleRequest}, 0},
		"a request about nothing":       {func(e *crash.Evidence) { e.Requests = append(e.Requests, &crash.Request{Webhook: "orders", Ref: "9"}) }, []crash.Rule{crash.RulePhantom}, 0},
		"an event stored twice": {func(e *crash.Evidence) {
			twin := e.Store.Events[1]
			twin.ID, twin.Sequence, e.Store.Topics[0].Last = id(13), 2, 2
			e.Store.Events = append(e.Store.Events, twin)
			e.Store.Deliveries = append(e.Store.Deliveries, crash.Delivery{ID: id(24), EventID: id(13), WebhookID: id(3), State: hook.StateDropped})
		}, []crash.Rule{crash.RuleDuplicate, crash.RulePhantom}, 0},
		"an event that nobody published":               {func(e *crash.Evidence) { e.Publications = e.Publications[:1] }, []crash.Rule{crash.RulePhantom}, 0},
		"an event that was refused":                    {func(e *crash.Evidence) { e.Publications[0].Accepted = false }, []crash.Rule{crash.RulePhantom}, 0},
		"a delivery for a webhook that does not match": {func(e *crash.Evidence) { e.Webhooks[1].Events = []string{"crash.other"} }, []crash.Rule{crash.RuleHalf, crash.RulePhantom}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := evidence()
			test.change(e)
			f := check(e)
			slices.Sort(test.want)
			require.Equal(t, test.want, rules(f), "%v", f.Violations)
			require.Equal(t, test.lost, f.Lost)
		})
	}
}

// The oracle excuses and counts the effects of a kill: a request repeated within the window, a dropped message, and a
// missing response.
func TestOracleExcusesWhatAKillBringsAbout(t *testing.T) {
	t.Parallel()
	e := evidence()
	at := noon().Add(time.Minute) // the time of the strike
	for _, r := range e.Requests {
		r.At, r.Until = r.At.Add(time.Minute), r.Until.Add(time.Minute)
	}
	for i := range e.Store.Attempts {
		e.Store.Attempts[i].StartedAt = e.Store.Attempts[i].StartedAt.Add(time.Minute)
	}
	e.Requests = append(e.Requests, &crash.Request{Webhook: "payments", Ref: "1", EventID: id(11), At: at.Add(-4 * time.Second), Until: at.Add(-4 * time.Second), Status: 200})
	e.Store.Deliveries[2].State, e.Store.Deliveries[2].Attempts, e.Store.Attempts = hook.StateDropped, 0, e.Store.Attempts[:3]
	e.Publications = append(e.Publications,
		&crash.Publication{Ref: "3", Type: "crash.paid", Unknown: 1})
	f := check(e)
	require.Empty(t, f.Violations)
	require.Equal(t, 1, f.Duplicates)
	require.Equal(t, 2, f.Repeated, "the message's request was not recorded, either")
	require.Equal(t, 1, f.Dropped)
	require.Equal(t, 1, f.Unknown)
	require.Zero(t, f.Stored)

	e.Window = time.Second
	require.Contains(t, rules(check(e)), crash.RuleDuplicate, "the window is what excuses")
}
