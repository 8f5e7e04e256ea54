package workflows

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/clip"
	"grapnel/internal/hook"
)

// RetryPolicy fits the schedule: with the default of 30 s, 5 min, 30 min, 2 h it
// is 30 s growing by 6.2145 = (7200/30)^(1/3) up to 2 h. It is what counts after
// a crash or a time-out, where the reconciler sees to it that it is not hours;
// otherwise the activity asks for the exact delay by NextRetryDelay. Attempts are
// unlimited: the store counts the customer's, and an outage of ours must not use
// them up.
func RetryPolicy(s hook.Schedule) *temporal.RetryPolicy {
	first, last := s[0], s[len(s)-1]
	coefficient := 1.0
	if len(s) > 1 {
		coefficient = math.Pow(float64(last)/float64(first), 1/float64(len(s)-1))
	}
	return &temporal.RetryPolicy{InitialInterval: first, BackoffCoefficient: coefficient, MaximumInterval: max(last, leastMaximum)}
}

// leastMaximum keeps the policy's own delays, after crashes in a row, from being those of a
// schedule of seconds. It bounds no delay that the activity asks for: the server takes
// NextRetryDelay as it is, and the activity bounds it.
const leastMaximum = 2 * time.Hour

func deliverOptions(ctx workflow.Context, s hook.Schedule, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: activities.RunTimeout,
		RetryPolicy:         RetryPolicy(s),
		Summary:             summary,
	})
}

// firstOptions: one run, no longer than one of the regular activity.
func firstOptions(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: activities.RunTimeout,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             summary,
	})
}

// maxFirstDeliveries is how many deliveries an event can have for their first
// attempts to be made within the workflow's first task.
const maxFirstDeliveries = 20

// firstTaskTimeout bounds the workflow tasks of those. A task that runs out is done
// again by another worker, with the requests in it: so 80 % of it, when the SDK asks for
// more time, are above the time-out that webhooks have unless they say otherwise, and
// the rest is for a process that stands still. A task that got lost on its way to a
// worker waits as long.
const firstTaskTimeout = 20 * time.Second

// sendNowOptions: one attempt, and no waiting for a worker longer than a person would.
func sendNowOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout:    activities.RunTimeout,
		ScheduleToStartTimeout: sendNowPatience,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	})
}

// drainOptions: the activity says when it wants to go on, a drain's and a replay's, in five
// minutes at the latest; a crash costs it a few seconds.
func drainOptions(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: activities.RunTimeout,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: drainRetry, BackoffCoefficient: 1, MaximumInterval: drainMost, MaximumAttempts: unlimited,
		},
	})
}

const (
	drainRetry = 5 * time.Second
	// drainMost is what a server wants to be no less than drainRetry. It does not bound what
	// the activity asks for.
	drainMost = 10 * time.Minute
	// unlimited is what a server takes 0 for, and the test environment does not.
	unlimited = math.MaxInt32
)

const sendNowPatience = 10 * time.Second

// SendNowTimeout bounds the whole of a sending by hand.
const SendNowTimeout = sendNowPatience + activities.RunTimeout

// Temporal refuses to start a workflow whose summary is over 400 bytes or whose
// details are over 20,000; hosts and topics can be longer than that. With these
// bounds the details of hook.MaxTargets webhooks take some 8,000.
const (
	maxSummary = 200
	maxHost    = 80
	maxType    = 120
)

// DeliverStart is how the workflow of an accepted event is started. A start that
// was made before, also by another process, is found and not repeated.
func DeliverStart(s hook.Start) (client.StartWorkflowOptions, DeliverInput) {
	a := Attributes()
	webhooks := make([]string, 0, len(s.Targets))
	for _, t := range s.Targets {
		webhooks = append(webhooks, t.WebhookID.String())
	}
	events := s.EventIDs()
	named := make([]string, 0, min(len(events), maxNamedEvents))
	for _, e := range events[:min(len(events), maxNamedEvents)] {
		named = append(named, e.String())
	}
	attributes := []temporal.SearchAttributeUpdate{
		builtBy(), a.EventID.ValueSet(named), a.WebhookID.ValueSet(webhooks), a.TenantID.ValueSet(s.TenantID.String()),
	}
	if s.EventType != "" {
		attributes = append(attributes, a.EventType.ValueSet(s.EventType))
	}
	options := client.StartWorkflowOptions{
		ID:                       cmp.Or(s.WorkflowID, DeliverID(s.EventID)),
		TaskQueue:                TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart:         true,
		StaticSummary:            fmt.Sprintf("%s → %s", clip.Text(s.Subject(), maxType), targets(s)),
		StaticDetails:            details(s),
		TypedSearchAttributes:    temporal.NewSearchAttributes(attributes...),
	}
	input := DeliverInput{EventIDs: events, Deliveries: s.Deliveries, To: to(s)}
	if len(events) == 1 && s.Deliveries <= maxFirstDeliveries {
		input.First, options.WorkflowTaskTimeout = true, firstTaskTimeout
	}
	return options, input
}

// DeliverAgain is how a workflow is started anew that has ended with deliveries
// outstanding, or is lost. It has the id of the one before it; while that runs, it is
// found and nothing is started.
func DeliverAgain(s hook.Start) (client.StartWorkflowOptions, DeliverInput) {
	options, input := DeliverStart(s)
	options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	options.StaticDetails += "\nStarted anew: the workflow before it had ended, or was lost, with these outstanding.\n"
	return options, input
}

// maxNamedEvents bounds the events of a burst by which its workflow is found.
const maxNamedEvents = hook.MaxNamed

// targets says how many webhooks an event goes to, or what a burst comes to.
func targets(s hook.Start) string {
	if len(s.Others) > 0 {
		return fmt.Sprintf("%d deliveries", s.Deliveries)
	}
	return plural(s.Deliveries, "webhook")
}

// DrainStart is how the drain of a webhook is started; one that runs is found.
func DrainStart(webhook hook.WebhookID, l hook.Label) (client.StartWorkflowOptions, DrainInput) {
	l.WebhookID = webhook
	options := besideEvents(hook.DrainID(webhook), "deliveries that wait for "+webhook.String(), l)
	return options, DrainInput{WebhookID: webhook}
}

// ReplayStart is how a replay is started; one that runs is found.
func ReplayStart(replay hook.ReplayID, l hook.Label) (client.StartWorkflowOptions, ReplayInput) {
	about := "events of the past, sent again"
	if l.WebhookID != (hook.WebhookID{}) {
		about += " to " + l.WebhookID.String()
	}
	return besideEvents(replay.String(), about, l), ReplayInput{ReplayID: replay}
}

// besideEvents is how a workflow is started that belongs to no event, but to a webhook.
func besideEvents(id, about string, l hook.Label) client.StartWorkflowOptions {
	a := Attributes()
	attributes := []temporal.SearchAttributeUpdate{builtBy()}
	if l.WebhookID != (hook.WebhookID{}) {
		attributes = append(attributes, a.WebhookID.ValueSet([]string{l.WebhookID.String()}))
	}
	if l.TenantID != (hook.TenantID{}) {
		attributes = append(attributes, a.TenantID.ValueSet(l.TenantID.String()))
		about = fmt.Sprintf("%s (%s) of tenant %s", about, clip.Text(l.Webhook, maxHost), clip.Text(l.Tenant, maxHost))
	}
	return client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart:         true,
		StaticSummary:            about,
		TypedSearchAttributes:    temporal.NewSearchAttributes(attributes...),
	}
}

// handPriority is below that of deliveries, which is 3: what people send by hand does not
// keep them waiting where both wait for a worker. Among what is sent by hand tenants take
// turns, where the server has that switched on (matching.enableFairness).
const handPriority = 4

// SendNowStart is how a delivery is sent by hand.
func SendNowStart(d hook.Delivery) (client.StartWorkflowOptions, SendNowInput) {
	a := Attributes()
	kind := "retry by hand"
	if d.Test {
		kind = "test"
	}
	options := client.StartWorkflowOptions{
		ID:                       SendNowID(d.ID),
		TaskQueue:                TaskQueue,
		WorkflowExecutionTimeout: SendNowTimeout,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart:         true,
		StaticSummary:            fmt.Sprintf("%s: %s → %s", kind, clip.Text(d.EventType, maxType), d.WebhookID),
		Priority:                 temporal.Priority{PriorityKey: handPriority, FairnessKey: d.TenantID.String()},
		TypedSearchAttributes: temporal.NewSearchAttributes(
			builtBy(), a.EventID.ValueSet([]string{d.EventID.String()}), a.EventType.ValueSet(d.EventType),
			a.WebhookID.ValueSet([]string{d.WebhookID.String()}), a.TenantID.ValueSet(d.TenantID.String()),
		),
	}
	return options, SendNowInput{DeliveryID: d.ID}
}

// details is a table of where the event goes, in the Markdown that the Web UI shows.
func details(s hook.Start) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s** for %s of tenant `%s`\n\n| webhook | host |\n|---|---|\n",
		cell(clip.Text(s.Subject(), maxType)), targets(s), s.TenantID)
	for _, t := range s.Targets {
		fmt.Fprintf(&b, "| `%s` | %s |\n", t.WebhookID, cell(clip.Text(t.Host, maxHost)))
	}
	if more := s.Deliveries - len(s.Targets); more > 0 && len(s.Others) == 0 {
		fmt.Fprintf(&b, "\nand %d more\n", more)
	}
	return b.String()
}

// to names the first targets, for the activity's line in the Web UI; at most
// maxSummary bytes.
func to(s hook.Start) string {
	var b strings.Builder
	for i, t := range s.Targets {
		text := fmt.Sprintf("%s %s", t.WebhookID, clip.Text(t.Host, maxHost))
		if i > 0 {
			text = ", " + text
		}
		more := fmt.Sprintf(" and %d more", s.Deliveries-i)
		if b.Len()+len(text)+len(more) > maxSummary {
			b.WriteString(more)
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// cell keeps a value from breaking a Markdown table.
func cell(s string) string { return cellEscapes.Replace(s) }

var cellEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ", "\r", " ", "`", "'") //nolint:gochecknoglobals // it never changes
