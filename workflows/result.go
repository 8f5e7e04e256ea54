package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"grapnel/internal/contract"
)

// maxOutcomes bounds the number of outcomes in the result of a workflow.
const maxOutcomes = 50

// add adds the result of a part to the total.
func add(total *contract.DeliverResult, part contract.DeliverResult) {
	total.Succeeded += part.Succeeded
	total.Failed += part.Failed
	total.Canceled += part.Canceled
	total.Deferred += part.Deferred
	total.Outcomes = append(total.Outcomes, part.Outcomes...)
	contract.FailedFirst(total.Outcomes)
	total.Outcomes = total.Outcomes[:min(len(total.Outcomes), maxOutcomes)]
}

// conclude shows the table of outcomes beside the workflow. It returns an error, with which
// the workflow fails, when a delivery failed for good.
func conclude(ctx workflow.Context, r contract.DeliverResult) error {
	workflow.SetCurrentDetails(ctx, outcomesTable(r))
	if r.Failed == 0 {
		return nil
	}
	return failedForGood(r.Failed, r.Succeeded+r.Failed+r.Canceled+r.Deferred, r.Deferred, r.FirstFailed(), r)
}

// failedForGood returns the error of a workflow some of whose deliveries failed for good. It
// names the first of them.
func failedForGood(failed, of, deferred int, firstFailed string, result any) error {
	text := fmt.Sprintf("%d of %d deliveries failed for good", failed, of)
	if firstFailed != "" {
		text += "; " + firstFailed
	}
	if deferred > 0 {
		text += fmt.Sprintf("; %d waiting for their webhooks", deferred)
	}
	return temporal.NewApplicationErrorWithOptions(text, contract.ErrorFailed, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{result},
	})
}

// outcomesTable returns the result in Markdown, which the Web UI shows.
func outcomesTable(r contract.DeliverResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d succeeded, %d failed, %d canceled", r.Succeeded, r.Failed, r.Canceled)
	if r.Deferred > 0 {
		fmt.Fprintf(&b, ", %d waiting for their webhooks (workflows `hook_…-drain`)", r.Deferred)
	}
	b.WriteString("\n\n| webhook | state | attempts | status | error | delivery |\n|---|---|---|---|---|---|\n")
	for _, o := range r.Outcomes {
		status := ""
		if o.StatusCode != 0 {
			status = fmt.Sprint(o.StatusCode)
		}
		state := string(o.State)
		if o.Deferred != "" {
			state = "waiting: " + string(o.Deferred)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s | `%s` |\n", o.WebhookID, state, o.Attempts, status, cell(o.Error), o.DeliveryID)
	}
	return b.String()
}

// cell escapes a value so that it cannot break a Markdown table.
func cell(s string) string { return cellEscapes.Replace(s) }

var cellEscapes = strings.NewReplacer(`\`, `\\`, "|", `\|`, "\n", " ", "\r", " ", "`", "'") //nolint:gochecknoglobals // it never changes
