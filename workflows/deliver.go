package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/hook"
)

// Workflows are the workflows with what they are configured by; register them
// all with the worker.
type Workflows struct {
	// Schedule is what RetryPolicy is fitted to.
	Schedule hook.Schedule
}

// DeliverInput names the events to deliver; usually one.
type DeliverInput struct {
	EventIDs []hook.EventID `json:"event_ids"`
	// Deliveries is how many there are, which decides how they are split.
	Deliveries int `json:"deliveries"`
	// To is for a person: the first webhooks and their hosts.
	To string `json:"to,omitempty"`
	// First says that a local activity makes the first attempts.
	First bool `json:"first,omitempty"`
}

// DeliveriesPerActivity is how many deliveries one activity has at most.
const DeliveriesPerActivity = 500

// activitiesPerWorkflow is how many activities one workflow has at most; the rest
// are its children's.
const activitiesPerWorkflow = 20

// Deliver delivers events to every webhook that matched. It ends when nothing is
// outstanding: with the result, or failed when a delivery failed for good.
func (w *Workflows) Deliver(ctx workflow.Context, in DeliverInput) (activities.DeliverResult, error) {
	of := max((in.Deliveries+DeliveriesPerActivity-1)/DeliveriesPerActivity, 1)
	d := deliver{schedule: w.Schedule, slices: DeliverSlicesInput{EventIDs: in.EventIDs, Deliveries: in.Deliveries, To: of, Of: of}, to: in.To}
	if in.First {
		if result, done := d.first(ctx); done {
			return result, conclude(ctx, result)
		}
	}
	result, err := d.run(ctx)
	if err != nil {
		return result, err
	}
	return result, conclude(ctx, result)
}

// DeliverSlicesInput names some of the slices of a large fan-out: From up to but
// not including To, of Of.
type DeliverSlicesInput struct {
	EventIDs   []hook.EventID `json:"event_ids"`
	Deliveries int            `json:"deliveries"`
	From       int            `json:"from"`
	To         int            `json:"to"`
	Of         int            `json:"of"`
}

// DeliverSlices is the child that delivers some slices. It does not fail for
// failed deliveries: its parent does.
func (w *Workflows) DeliverSlices(ctx workflow.Context, in DeliverSlicesInput) (activities.DeliverResult, error) {
	d := deliver{schedule: w.Schedule, slices: in}
	return d.run(ctx)
}

type deliver struct {
	schedule hook.Schedule
	slices   DeliverSlicesInput
	to       string
}

// first makes the first attempts within the workflow's first task; false when
// something is left for run.
func (d *deliver) first(ctx workflow.Context) (activities.DeliverResult, bool) {
	var a *activities.Activities
	var result activities.InlineResult
	// Whatever went wrong, the regular activity finds out and says so.
	if err := workflow.ExecuteLocalActivity(firstOptions(ctx, d.to), a.DeliverFirst, d.input(0)).Get(ctx, &result); err != nil {
		workflow.GetLogger(ctx).Warn("first attempts", "Error", err)
		return activities.DeliverResult{}, false
	}
	return result.DeliverResult, result.Done
}

// input is that of the activity of one slice.
func (d *deliver) input(slice int) activities.DeliverInput {
	return activities.DeliverInput{EventIDs: d.slices.EventIDs, Deliveries: d.slices.Deliveries, Slice: slice, Of: d.slices.Of}
}

func (d *deliver) run(ctx workflow.Context) (activities.DeliverResult, error) {
	var total activities.DeliverResult
	var futures []workflow.Future
	if d.slices.To-d.slices.From <= activitiesPerWorkflow {
		futures = d.startActivities(ctx)
	} else {
		futures = d.startChildren(ctx)
	}
	for _, f := range futures {
		var part activities.DeliverResult
		if err := f.Get(ctx, &part); err != nil {
			return total, err
		}
		add(&total, part)
	}
	return total, nil
}

func (d *deliver) startActivities(ctx workflow.Context) []workflow.Future {
	var a *activities.Activities
	futures := make([]workflow.Future, 0, d.slices.To-d.slices.From)
	for slice := d.slices.From; slice < d.slices.To; slice++ {
		summary := d.to
		if d.slices.Of > 1 {
			summary = fmt.Sprintf("part %d of %d", slice+1, d.slices.Of)
		}
		futures = append(futures, workflow.ExecuteActivity(deliverOptions(ctx, d.schedule, summary), a.Deliver, d.input(slice)))
	}
	return futures
}

func (d *deliver) startChildren(ctx workflow.Context) []workflow.Future {
	var futures []workflow.Future
	id := workflow.GetInfo(ctx).WorkflowExecution.ID
	for from := d.slices.From; from < d.slices.To; from += activitiesPerWorkflow {
		part := d.slices
		part.From, part.To = from, min(from+activitiesPerWorkflow, d.slices.To)
		child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
			WorkflowID:    fmt.Sprintf("%s-%d", id, from/activitiesPerWorkflow),
			StaticSummary: fmt.Sprintf("parts %d to %d of %d", part.From+1, part.To, part.Of),
		})
		futures = append(futures, workflow.ExecuteChildWorkflow(child, NameDeliverSlices, part))
	}
	return futures
}

func add(total *activities.DeliverResult, part activities.DeliverResult) {
	total.Succeeded += part.Succeeded
	total.Failed += part.Failed
	total.Canceled += part.Canceled
	total.Waiting += part.Waiting
	total.Outcomes = append(total.Outcomes, part.Outcomes...)
	activities.FailedFirst(total.Outcomes)
	total.Outcomes = total.Outcomes[:min(len(total.Outcomes), maxOutcomes)]
}

// maxOutcomes bounds the lists that people read.
const maxOutcomes = 50

// conclude writes the table of outcomes beside the workflow and makes it fail
// when a delivery failed for good.
func conclude(ctx workflow.Context, r activities.DeliverResult) error {
	workflow.SetCurrentDetails(ctx, outcomesTable(r))
	if r.Failed == 0 {
		return nil
	}
	return failedForGood(r.Failed, r.Succeeded+r.Failed+r.Canceled+r.Waiting, r.Waiting, r.FirstFailed(), r)
}

// failedForGood is the error of a workflow that the Web UI finds by its status, Failed. It
// names the first delivery that failed for good.
func failedForGood(failed, of, waiting int, first string, result any) error {
	text := fmt.Sprintf("%d of %d deliveries failed for good", failed, of)
	if first != "" {
		text += "; " + first
	}
	if waiting > 0 {
		text += fmt.Sprintf("; %d waiting for their webhooks", waiting)
	}
	return temporal.NewApplicationErrorWithOptions(text, ErrorFailed, temporal.ApplicationErrorOptions{
		NonRetryable: true, Category: temporal.ApplicationErrorCategoryBenign, Details: []any{result},
	})
}

func outcomesTable(r activities.DeliverResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d succeeded, %d failed, %d canceled", r.Succeeded, r.Failed, r.Canceled)
	if r.Waiting > 0 {
		fmt.Fprintf(&b, ", %d waiting for their webhooks (workflows `hook_…-drain`)", r.Waiting)
	}
	b.WriteString("\n\n| webhook | state | attempts | status | error | delivery |\n|---|---|---|---|---|---|\n")
	for _, o := range r.Outcomes {
		status := ""
		if o.StatusCode != 0 {
			status = fmt.Sprint(o.StatusCode)
		}
		state := string(o.State)
		if o.Waiting != "" {
			state = "waiting: " + string(o.Waiting)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %d | %s | %s | `%s` |\n", o.WebhookID, state, o.Attempts, status, cell(o.Error), o.DeliveryID)
	}
	return b.String()
}
