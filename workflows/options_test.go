package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"grapnel/internal/contract"
	"grapnel/internal/hook"
	"grapnel/workflows"
)

// The policy is an exponential fit of the schedule, for crashes and timeouts. Its attempts are
// unlimited, because the store counts the attempts of deliveries.
func TestRetryPolicyFitsTheSchedule(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		schedule    hook.Schedule
		coefficient float64
	}{
		"default":    {hook.DefaultSchedule(), 6.2145},
		"one delay":  {hook.Schedule{time.Minute}, 1},
		"two delays": {hook.Schedule{time.Second, 10 * time.Second}, 10},
		"constant":   {hook.Schedule{time.Second, time.Second, time.Second}, 1},
		"longer":     {hook.Schedule{time.Hour, 4 * time.Hour}, 4},
		"doubling":   {hook.Schedule{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := workflows.RetryPolicy(c.schedule)
			last := c.schedule[len(c.schedule)-1]
			require.Equal(t, c.schedule[0], p.InitialInterval)
			require.Equal(t, max(last, 2*time.Hour), p.MaximumInterval, "unset, it would be 100 times the first")
			require.InDelta(t, c.coefficient, p.BackoffCoefficient, 1e-4)
			require.GreaterOrEqual(t, p.BackoffCoefficient, 1.0, "Temporal refuses less")
			require.Zero(t, p.MaximumAttempts)
			require.Empty(t, p.NonRetryableErrorTypes)
			grown := float64(c.schedule[0])
			for range c.schedule[1:] {
				grown *= p.BackoffCoefficient
			}
			require.InEpsilon(t, float64(last), grown, 1e-9)
		})
	}
}

func start(targets int) hook.Start {
	s := hook.Start{
		EventID: hook.EventID{6: 0x70, 15: 1}, TenantID: hook.DefaultTenant(), EventType: "user.created", Deliveries: targets,
	}
	for i := range min(targets, hook.MaxTargets) {
		s.Targets = append(s.Targets, hook.Target{WebhookID: hook.WebhookID{15: byte(i)}, Host: fmt.Sprintf("host-%d.example:8443", i)})
	}
	return s
}

// The event's id is the workflow's id. An earlier start is found and not repeated; search
// attributes find the workflow.
func TestDeliverStart(t *testing.T) {
	t.Parallel()
	s := start(2)
	options, input := workflows.DeliverStart(s)
	require.Equal(t, s.EventID.String(), options.ID)
	require.NotContains(t, options.ID, "/")
	require.Equal(t, contract.TaskQueue, options.TaskQueue)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE, options.WorkflowIDReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
	require.False(t, options.WorkflowExecutionErrorWhenAlreadyStarted)
	require.True(t, options.EnableEagerStart)
	require.Nil(t, options.RetryPolicy, "the schedule has one owner")
	require.Zero(t, options.WorkflowExecutionTimeout)
	require.Zero(t, options.WorkflowRunTimeout)
	require.Equal(t, "user.created → 2 webhooks", options.StaticSummary)

	a := workflows.Attributes()
	events, ok := options.TypedSearchAttributes.GetKeywordList(a.EventID)
	require.True(t, ok)
	require.Equal(t, []string{s.EventID.String()}, events)
	webhooks, ok := options.TypedSearchAttributes.GetKeywordList(a.WebhookID)
	require.True(t, ok)
	require.Equal(t, []string{s.Targets[0].WebhookID.String(), s.Targets[1].WebhookID.String()}, webhooks)
	typ, ok := options.TypedSearchAttributes.GetKeyword(a.EventType)
	require.True(t, ok)
	require.Equal(t, "user.created", typ)
	tenant, ok := options.TypedSearchAttributes.GetKeyword(a.TenantID)
	require.True(t, ok)
	require.Equal(t, s.TenantID.String(), tenant)

	require.Equal(t, []hook.EventID{s.EventID}, input.EventIDs)
	require.Equal(t, 2, input.Deliveries)
	require.Equal(t, fmt.Sprintf("%s host-0.example:8443, %s host-1.example:8443", s.Targets[0].WebhookID, s.Targets[1].WebhookID), input.To)
}

// An event with few deliveries gets inline attempts. The workflow's first task must outlast
// most of them: a task that runs out is repeated.
func TestDeliverStartWithInlineAttempts(t *testing.T) {
	t.Parallel()
	for deliveries, first := range map[int]bool{1: true, 20: true, 21: false, 10_000: false} {
		s := start(1)
		s.Deliveries = deliveries
		options, input := workflows.DeliverStart(s)
		require.Equal(t, first, input.Inline, "%d deliveries", deliveries)
		if !first {
			require.Zero(t, options.WorkflowTaskTimeout, "Temporal's 10 s")
			continue
		}
		const asksForMore = 0.8 // of the timeout: the SDK's
		require.Greater(t, options.WorkflowTaskTimeout.Seconds()*asksForMore, hook.ProfileStandard.DefaultTimeout().Seconds())
		require.LessOrEqual(t, options.WorkflowTaskTimeout, contract.RunTimeout, "what got lost waits no longer than in an activity")
	}
	_, input := workflows.DeliverStart(hook.Share("x", []hook.Start{start(1), start(1)}))
	require.False(t, input.Inline, "events that share a workflow")
}

// A lost workflow is started anew with the same id, and a running one is found. Nothing else differs.
func TestDeliverAgain(t *testing.T) {
	t.Parallel()
	s := start(2)
	first, input := workflows.DeliverStart(s)
	options, again := workflows.DeliverAgain(s)
	require.Equal(t, input, again)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, options.WorkflowIDReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
	require.Contains(t, options.StaticDetails, "Started anew")
	options.WorkflowIDReusePolicy, options.StaticDetails = first.WorkflowIDReusePolicy, first.StaticDetails
	require.Equal(t, first, options)
	require.Equal(t, s.EventID.String(), contract.OverdueID(hook.Overdue{EventID: s.EventID}))
	require.Equal(t, "burst", contract.OverdueID(hook.Overdue{EventID: s.EventID, WorkflowID: "burst"}))
}

func TestDeliverStartNamesOneWebhook(t *testing.T) {
	t.Parallel()
	options, _ := workflows.DeliverStart(start(1))
	require.Equal(t, "user.created → 1 webhook", options.StaticSummary)
}

// A burst's workflow names its first events and their webhooks; nothing in it is as long as the
// burst.
func TestDeliverStartOfABurst(t *testing.T) {
	t.Parallel()
	var starts []hook.Start
	for i := range 200 {
		s := start(2)
		s.EventID = hook.EventID{14: 1, 15: byte(i)}
		starts = append(starts, s)
	}
	burst := hook.Share(contract.BurstID(starts[0].EventID), starts)
	options, input := workflows.DeliverStart(burst)
	require.Equal(t, starts[0].EventID.String()+"-burst", options.ID)
	require.Equal(t, "200 × user.created → 400 deliveries", options.StaticSummary)
	require.Len(t, input.EventIDs, 200)
	require.Equal(t, 400, input.Deliveries)
	a := workflows.Attributes()
	events, _ := options.TypedSearchAttributes.GetKeywordList(a.EventID)
	require.Len(t, events, 50)
	require.LessOrEqual(t, len(strings.Join(events, `","`)), 2_000)
	webhooks, _ := options.TypedSearchAttributes.GetKeywordList(a.WebhookID)
	require.Len(t, webhooks, 2, "each once")
	require.NotContains(t, options.StaticDetails, "more")

	starts[7].EventType = "user.deleted"
	options, _ = workflows.DeliverStart(hook.Share("x", starts))
	require.Equal(t, "200 events → 400 deliveries", options.StaticSummary)
	require.False(t, options.TypedSearchAttributes.ContainsKey(a.EventType), "they are of several types")
}

// A message is shown with its cache, and found by its topic.
func TestDeliverStartOfAMessage(t *testing.T) {
	t.Parallel()
	s := start(1)
	s.Cache, s.EventType = "chat", "room-281"
	options, _ := workflows.DeliverStart(s)
	require.Equal(t, "chat/room-281 → 1 webhook", options.StaticSummary)
	require.Contains(t, options.StaticDetails, "**chat/room-281** for 1 webhook")
	eventType, _ := options.TypedSearchAttributes.GetKeyword(workflows.Attributes().EventType)
	require.Equal(t, "room-281", eventType)
}

func TestDeliverStartSaysHowManyMore(t *testing.T) {
	t.Parallel()
	options, input := workflows.DeliverStart(start(1_200))
	require.Contains(t, options.StaticDetails, "\nand 1150 more\n")
	require.Regexp(t, ` and \d+ more$`, input.To)
	named := strings.Count(input.To, "hook_")
	require.True(t, strings.HasSuffix(input.To, fmt.Sprintf(" and %d more", 1_200-named)), input.To)
}

// Temporal refuses to start a workflow whose summary is over 400 bytes or whose
// details are over 20,000; a search attribute's values may take 2,048 bytes.
func TestStartsStayWithinTemporalsBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ host, eventType string }{
		"long hosts":       {strings.Repeat("a", 2_000), "user.created"},
		"long types":       {"a.example", strings.Repeat("a", hook.MaxTypeLength)},
		"long wide topics": {"a.example", strings.Repeat("😀", hook.MaxTypeLength)},
		"wide hosts":       {strings.Repeat("é", 900), strings.Repeat("é", hook.MaxTypeLength)},
		"hosts of 60":      {strings.Repeat("a", 60), "user.created"},
	} {
		for _, targets := range []int{1, 2, 3, 4, 5, 6, 50, 100_000} {
			t.Run(fmt.Sprintf("%s, %d", name, targets), func(t *testing.T) {
				t.Parallel()
				s := start(targets)
				s.EventType, s.Cache = c.eventType, c.eventType
				for i := range s.Targets {
					s.Targets[i].Host = c.host
				}
				options, input := workflows.DeliverStart(s)
				require.LessOrEqual(t, len(options.StaticSummary), 200)
				require.LessOrEqual(t, len(input.To), 200)
				require.LessOrEqual(t, len(options.StaticDetails), 10_000)
				require.Contains(t, input.To, "hook_", "one is named at least")
				for _, text := range []string{options.StaticSummary, options.StaticDetails, input.To} {
					require.True(t, utf8.ValidString(text))
				}
				webhooks, _ := options.TypedSearchAttributes.GetKeywordList(workflows.Attributes().WebhookID)
				require.LessOrEqual(t, len(strings.Join(webhooks, `","`)), 2_000)

				now, _ := workflows.SendNowStart(hook.Delivery{EventType: c.eventType})
				require.LessOrEqual(t, len(now.StaticSummary), 200)
			})
		}
	}
}

// Names from receivers and clients must not break the Markdown table.
func TestDetailsEscapeMarkdown(t *testing.T) {
	t.Parallel()
	s := start(1)
	s.Targets[0].Host = "a|b\nc\\|`d`"
	options, _ := workflows.DeliverStart(s)
	lines := strings.Split(strings.TrimSpace(options.StaticDetails), "\n")
	require.Len(t, lines, 5)
	require.Equal(t, "| `"+s.Targets[0].WebhookID.String()+"` | a\\|b c\\\\\\|'d' |", lines[4])
}

// S13: a delivery has one request by hand at a time; a second one later is allowed.
func TestSendNowStart(t *testing.T) {
	t.Parallel()
	d := hook.Delivery{
		ID: hook.DeliveryID{15: 1}, EventID: hook.EventID{15: 2}, WebhookID: hook.WebhookID{15: 3},
		TenantID: hook.DefaultTenant(), EventType: "user.created",
	}
	options, input := workflows.SendNowStart(d)
	require.Equal(t, d.ID.String(), options.ID)
	require.Equal(t, contract.SendNowInput{DeliveryID: d.ID}, input)
	require.Equal(t, enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE, options.WorkflowIDReusePolicy)
	require.Equal(t, enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING, options.WorkflowIDConflictPolicy)
	require.Equal(t, contract.SendNowTimeout, options.WorkflowExecutionTimeout)
	require.Greater(t, contract.SendNowTimeout, hook.MaxTimeout)
	require.Equal(t, "retry by hand: user.created → "+d.WebhookID.String(), options.StaticSummary)
	events, _ := options.TypedSearchAttributes.GetKeywordList(workflows.Attributes().EventID)
	require.Equal(t, []string{d.EventID.String()}, events)
}

// A request by hand delays no delivery, and no request of another tenant.
func TestSendNowGivesWay(t *testing.T) {
	t.Parallel()
	options, _ := workflows.SendNowStart(hook.Delivery{TenantID: hook.TenantID{1}})
	require.Greater(t, options.Priority.PriorityKey, 3, "the middle, which deliveries have")
	require.Equal(t, hook.TenantID{1}.String(), options.Priority.FairnessKey)
	require.LessOrEqual(t, len(options.Priority.FairnessKey), 64)
	delivering, _ := workflows.DeliverStart(start(1))
	require.Zero(t, delivering.Priority)
}

// Drains and replays are found by their webhook and tenant, and name them.
func TestDrainAndReplayStart(t *testing.T) {
	t.Parallel()
	webhook, replay, a := hook.WebhookID{1}, hook.ReplayID{2}, workflows.Attributes()
	label := hook.Label{TenantID: hook.TenantID{3}, Tenant: "acme", WebhookID: webhook, Webhook: "api.example.com"}
	drain, _ := workflows.DrainStart(webhook, label)
	require.Equal(t, "deliveries that wait for "+webhook.String()+" (api.example.com) of tenant acme", drain.StaticSummary)
	again, _ := workflows.ReplayStart(replay, label)
	require.Equal(t, "events of the past, sent again to "+webhook.String()+" (api.example.com) of tenant acme", again.StaticSummary)
	require.Equal(t, replay.String(), again.ID)
	for _, o := range []client.StartWorkflowOptions{drain, again} {
		webhooks, _ := o.TypedSearchAttributes.GetKeywordList(a.WebhookID)
		require.Equal(t, []string{webhook.String()}, webhooks)
		tenant, _ := o.TypedSearchAttributes.GetKeyword(a.TenantID)
		require.Equal(t, label.TenantID.String(), tenant)
	}

	// Temporal bounds a summary to 400 bytes.
	label.Tenant, label.Webhook = strings.Repeat("ü", 100), strings.Repeat("é", 500)
	drain, _ = workflows.DrainStart(webhook, label)
	again, _ = workflows.ReplayStart(replay, label)
	require.LessOrEqual(t, max(len(drain.StaticSummary), len(again.StaticSummary)), 300)

	// The label of a webhook that could not be looked up.
	drain, _ = workflows.DrainStart(webhook, hook.Label{})
	require.Equal(t, "deliveries that wait for "+webhook.String(), drain.StaticSummary)
	webhooks, _ := drain.TypedSearchAttributes.GetKeywordList(a.WebhookID)
	require.Equal(t, []string{webhook.String()}, webhooks)
	again, _ = workflows.ReplayStart(replay, hook.Label{})
	require.Equal(t, "events of the past, sent again", again.StaticSummary)
}

// Histories in Temporal contain these names, so they never change.
func TestNamesNeverChange(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"grapnel", "Deliver", "DeliverSlices", "SendNow", "Deliver", "SendNow", "DeliveryFailed"}, []string{
		contract.TaskQueue, contract.NameDeliver, contract.NameDeliverSlices, contract.NameSendNow,
		contract.ActivityDeliver, contract.ActivitySendNow, contract.ErrorFailed,
	})
	a := workflows.Attributes()
	require.Equal(t, []string{"EventId", "EventType", "WebhookId", "TenantId"},
		[]string{a.EventID.GetName(), a.EventType.GetName(), a.WebhookID.GetName(), a.TenantID.GetName()})
}
