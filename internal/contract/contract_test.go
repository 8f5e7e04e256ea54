package contract_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// Outcomes that older versions recorded have the time of the next attempt also where the
// delivery is deferred.
func TestFailedFirst(t *testing.T) {
	t.Parallel()
	list := []contract.Outcome{
		{State: hook.StateSuccess},
		{State: hook.StatePending, NextAt: "2026-01-15T12:00:00Z"},
		{State: hook.StateCanceled},
		{State: hook.StateFailed, Deferred: hook.WaitRate},
		{State: hook.StateTimedOut},
	}
	contract.FailedFirst(list)
	states := make([]hook.DeliveryState, 0, len(list))
	for _, o := range list {
		states = append(states, o.State)
	}
	require.Equal(t, []hook.DeliveryState{hook.StateTimedOut, hook.StatePending, hook.StateFailed, hook.StateCanceled, hook.StateSuccess}, states)
}

// Histories in Temporal hold this JSON: a member that changes its name is lost.
func TestJSONStays(t *testing.T) {
	t.Parallel()
	event, webhook, delivery, replay := hook.EventID{1}, hook.WebhookID{2}, hook.DeliveryID{3}, hook.ReplayID{4}
	process := hook.ProcessID{5}
	outcome := contract.Outcome{
		WebhookID: webhook, DeliveryID: delivery, State: hook.StateFailed, Attempts: 5, StatusCode: 500, Error: "e", NextAt: "n", Deferred: hook.WaitRate,
	}
	const outcomeJSON = `{"webhook_id":"$w","delivery_id":"$d","status":"failed","attempts":5,"status_code":500,"error":"e","next_attempt_at":"n","waiting":"rate_limited"}`
	result := contract.DeliverResult{Succeeded: 1, Failed: 2, Canceled: 3, Deferred: 4, Outcomes: []contract.Outcome{outcome}}
	const resultJSON = `"succeeded":1,"failed":2,"canceled":3,"waiting":4,"outcomes":[` + outcomeJSON + `]`
	for want, value := range map[string]any{
		`{"event_ids":["$e"],"deliveries":7,"to":"t","first":true}`: contract.DeliverInput{
			EventIDs: []hook.EventID{event}, Deliveries: 7, To: "t", Inline: true,
		},
		`{"event_ids":["$e"],"deliveries":7,"owner":"$p","done":{` + resultJSON + `}}`: contract.DeliverInput{
			EventIDs: []hook.EventID{event}, Deliveries: 7, Owner: process, Done: &result,
		},
		`{"event_ids":["$e"],"deliveries":7,"slice":1,"of":2,"owner":"$p"}`: contract.SliceInput{
			EventIDs: []hook.EventID{event}, Deliveries: 7, Slice: 1, Of: 2, Owner: process,
		},
		`{"event_ids":["$e"],"deliveries":7,"from":1,"to":2,"of":3}`: contract.DeliverSlicesInput{
			EventIDs: []hook.EventID{event}, Deliveries: 7, From: 1, To: 2, Of: 3,
		},
		`{"event_ids":["$e"],"deliveries":7,"slice":1,"of":2}`: contract.SliceInput{
			EventIDs: []hook.EventID{event}, Deliveries: 7, Slice: 1, Of: 2,
		},
		`{` + resultJSON + `}`:                          result,
		`{` + resultJSON + `,"done":true,"reason":"r"}`: contract.InlineResult{DeliverResult: result, Done: true, Reason: "r"},
		`{"webhook_id":"$w"}`:                           contract.DrainInput{WebhookID: webhook},
		`{"replay_id":"$r"}`:                            contract.ReplayInput{ReplayID: replay},
		`{"delivery_id":"$d"}`:                          contract.SendNowInput{DeliveryID: delivery},
		`{"succeeded":1,"failed":2,"canceled":3,"first":"f"}`: contract.DrainResult{
			Succeeded: 1, Failed: 2, Canceled: 3, FirstFailed: "f",
		},
		`{"state":"completed","reason":"r","scanned":1,"deliveries":2,"succeeded":3,"failed":4,"canceled":5}`: contract.ReplayResult{
			State: hook.ReplayCompleted, Reason: "r", Scanned: 1, Deliveries: 2, Succeeded: 3, Failed: 4, Canceled: 5,
		},
		`{"reason":"rate_limited","message":"m","retry_after":1000000000}`: contract.Limited{
			Reason: hook.WaitRate, Message: "m", RetryAfter: time.Second,
		},
	} {
		want = strings.NewReplacer("$e", event.String(), "$w", webhook.String(), "$d", delivery.String(), "$r", replay.String(), "$p", process.String()).Replace(want)
		got, err := json.Marshal(value)
		require.NoError(t, err)
		require.JSONEq(t, want, string(got), "%T", value)
	}
}
