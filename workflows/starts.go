package workflows

import (
	"cmp"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"grapnel/internal/clip"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// Temporal refuses to start a workflow whose summary is over 400 bytes or whose details are
// over 20,000; hosts and topics can be longer than that. Within these bounds the details of
// hook.MaxTargets webhooks take some 8,000.
const (
	maxSummary = 200
	maxHost    = 80
	maxType    = 120
)

// DeliverStart returns how to start the workflow of an accepted event. A workflow that was
// started before, also by another process, is found and not started again.
func DeliverStart(s hook.Start) (client.StartWorkflowOptions, contract.DeliverInput) {
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
		builtBy(), a.EventID.ValueSet(named), a.WebhookID.ValueSet(webhooks),
	}
	if s.TenantID != (hook.TenantID{}) {
		attributes = append(attributes, a.TenantID.ValueSet(s.TenantID.String()))
	}
	if s.EventType != "" {
		attributes = append(attributes, a.EventType.ValueSet(s.EventType))
	}
	options := client.StartWorkflowOptions{
		ID:                       cmp.Or(s.WorkflowID, contract.DeliverID(s.EventID)),
		TaskQueue:                contract.TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart:         true,
		StaticSummary:            fmt.Sprintf("%s → %s", clip.Text(s.Subject(), maxType), targets(s)),
		StaticDetails:            details(s),
		TypedSearchAttributes:    temporal.NewSearchAttributes(attributes...),
	}
	input := contract.DeliverInput{EventIDs: events, Deliveries: s.Deliveries, To: to(s)}
	switch {
	case s.IsDone():
		done := contract.Summarize(s.Ended)
		input.Done = &done
	case s.Attempted || !s.Owner.IsZero():
		input.Owner = s.Owner
	case len(events) == 1 && s.Deliveries <= maxInlineDeliveries:
		input.Inline, options.WorkflowTaskTimeout = true, inlineTaskTimeout
	}
	return options, input
}

// DeliverAgain returns how to start a workflow anew that has ended with outstanding
// deliveries, or is lost. It has the same id; while the earlier one runs, that is found and
// nothing is started.
func DeliverAgain(s hook.Start) (client.StartWorkflowOptions, contract.DeliverInput) {
	options, input := DeliverStart(s)
	options.WorkflowIDReusePolicy = enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE
	options.StaticDetails += "\nStarted anew: the workflow before it had ended, or was lost, with these outstanding.\n"
	return options, input
}

// maxNamedEvents bounds the number of a burst's events in its workflow's search attribute.
const maxNamedEvents = hook.MaxNamed

// targets returns how many webhooks an event goes to, or how many deliveries a burst has.
func targets(s hook.Start) string {
	if len(s.Others) > 0 {
		return fmt.Sprintf("%d deliveries", s.Deliveries)
	}
	return plural(s.Deliveries, "webhook")
}

// DrainStart returns how to start the drain of a webhook. If it runs, it is found and not
// started again.
func DrainStart(webhook hook.WebhookID, l hook.Label) (client.StartWorkflowOptions, contract.DrainInput) {
	l.WebhookID = webhook
	options := auxiliaryStart(contract.DrainID(webhook), "deliveries that wait for "+webhook.String(), l)
	return options, contract.DrainInput{WebhookID: webhook}
}

// ReplayStart returns how to start a replay. If it runs, it is found and not started again.
func ReplayStart(replay hook.ReplayID, l hook.Label) (client.StartWorkflowOptions, contract.ReplayInput) {
	about := "events of the past, sent again"
	if l.WebhookID != (hook.WebhookID{}) {
		about += " to " + l.WebhookID.String()
	}
	return auxiliaryStart(replay.String(), about, l), contract.ReplayInput{ReplayID: replay}
}

// DeletionStart returns how to start the deletion of a tenant. If it runs, it is found and not started again. It carries no
// name of the tenant: Temporal would keep it.
func DeletionStart(tenant hook.TenantID) (client.StartWorkflowOptions, contract.DeletionInput) {
	options := auxiliaryStart(contract.DeletionID(tenant), "deletion of tenant "+tenant.String(), hook.Label{})
	options.TypedSearchAttributes = temporal.NewSearchAttributes(builtBy(), Attributes().TenantID.ValueSet(tenant.String()))
	return options, contract.DeletionInput{TenantID: tenant}
}

// auxiliaryStart returns how to start a workflow that belongs to no event, usually to a webhook.
func auxiliaryStart(id, about string, l hook.Label) client.StartWorkflowOptions {
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
		TaskQueue:                contract.TaskQueue,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart:         true,
		StaticSummary:            about,
		TypedSearchAttributes:    temporal.NewSearchAttributes(attributes...),
	}
}

// byHandPriority is below the priority of deliveries, which is 3: where both wait for a
// worker, requests by hand do not delay deliveries. Among requests by hand tenants take turns,
// if the server has that switched on (matching.enableFairness).
const byHandPriority = 4

// SendNowStart returns how to start the workflow that sends a delivery by hand.
func SendNowStart(d hook.Delivery) (client.StartWorkflowOptions, contract.SendNowInput) {
	a := Attributes()
	kind := "retry by hand"
	if d.Test {
		kind = "test"
	}
	options := client.StartWorkflowOptions{
		ID:                       contract.SendNowID(d.ID),
		TaskQueue:                contract.TaskQueue,
		WorkflowExecutionTimeout: contract.SendNowTimeout,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		EnableEagerStart:         true,
		StaticSummary:            fmt.Sprintf("%s: %s → %s", kind, clip.Text(d.EventType, maxType), d.WebhookID),
		Priority:                 temporal.Priority{PriorityKey: byHandPriority, FairnessKey: d.TenantID.String()},
		TypedSearchAttributes: temporal.NewSearchAttributes(
			builtBy(), a.EventID.ValueSet([]string{d.EventID.String()}), a.EventType.ValueSet(d.EventType),
			a.WebhookID.ValueSet([]string{d.WebhookID.String()}), a.TenantID.ValueSet(d.TenantID.String()),
		),
	}
	return options, contract.SendNowInput{DeliveryID: d.ID}
}

// details returns a table of an event's webhooks, in the Markdown that the Web UI shows.
func details(s hook.Start) string {
	var b strings.Builder
	whose := "several tenants"
	if s.TenantID != (hook.TenantID{}) {
		whose = "tenant `" + s.TenantID.String() + "`"
	}
	fmt.Fprintf(&b, "**%s** for %s of %s\n\n| webhook | host |\n|---|---|\n",
		cell(clip.Text(s.Subject(), maxType)), targets(s), whose)
	for _, t := range s.Targets {
		fmt.Fprintf(&b, "| `%s` | %s |\n", t.WebhookID, cell(clip.Text(t.Host, maxHost)))
	}
	if more := s.Deliveries - len(s.Targets); more > 0 && len(s.Others) == 0 {
		fmt.Fprintf(&b, "\nand %d more\n", more)
	}
	return b.String()
}

// to names the first targets, for the activity's line in the Web UI; at most maxSummary bytes.
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

// plural returns a count and its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
