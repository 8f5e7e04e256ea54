package workflows

import (
	"fmt"

	"go.temporal.io/sdk/workflow"

	"grapnel/activities"
	"grapnel/internal/contract"
	"grapnel/internal/hook"
)

// DeliveriesPerActivity is the largest number of deliveries of one activity.
const DeliveriesPerActivity = 500

// activitiesPerWorkflow is the largest number of activities of one workflow; child workflows
// have the rest.
const activitiesPerWorkflow = 20

// Deliver delivers events to every webhook that matched. It ends when no delivery is
// outstanding, and fails when a delivery failed for good. Events whose first attempts were the
// last ones bring their result along.
func (w *Workflows) Deliver(ctx workflow.Context, in contract.DeliverInput) (contract.DeliverResult, error) {
	if in.Done != nil {
		return *in.Done, conclude(ctx, *in.Done)
	}
	of := max((in.Deliveries+DeliveriesPerActivity-1)/DeliveriesPerActivity, 1)
	d := deliver{
		schedule: w.Schedule, to: in.To, owner: in.Owner,
		slices: contract.DeliverSlicesInput{EventIDs: in.EventIDs, Deliveries: in.Deliveries, To: of, Of: of},
	}
	if in.Inline {
		if result, done := d.inline(ctx); done {
			return result, conclude(ctx, result)
		}
	}
	result, err := d.run(ctx)
	if err != nil {
		return result, err
	}
	return result, conclude(ctx, result)
}

// DeliverSlices is a child of Deliver that delivers some slices. Failed deliveries do not make
// it fail: they make its parent fail.
func (w *Workflows) DeliverSlices(ctx workflow.Context, in contract.DeliverSlicesInput) (contract.DeliverResult, error) {
	d := deliver{schedule: w.Schedule, slices: in}
	return d.run(ctx)
}

// deliver is one execution of Deliver or DeliverSlices.
type deliver struct {
	schedule hook.Schedule
	slices   contract.DeliverSlicesInput
	to       string
	// owner is the process that may still be making the first attempts.
	owner hook.ProcessID
}

// inline makes the first attempts within the workflow's first task. It returns false when
// something is left for run.
func (d *deliver) inline(ctx workflow.Context) (contract.DeliverResult, bool) {
	var a *activities.Activities
	var result contract.InlineResult
	// The regular activity meets the same failure and reports it.
	if err := workflow.ExecuteLocalActivity(inlineOptions(ctx, d.to), a.DeliverFirst, d.input(0)).Get(ctx, &result); err != nil {
		workflow.GetLogger(ctx).Warn("inline attempts", "Error", err)
		return contract.DeliverResult{}, false
	}
	return result.DeliverResult, result.Done
}

// input returns the input of the activity of one slice.
func (d *deliver) input(slice int) contract.SliceInput {
	return contract.SliceInput{EventIDs: d.slices.EventIDs, Deliveries: d.slices.Deliveries, Slice: slice, Of: d.slices.Of, Owner: d.owner}
}

// run delivers the slices by activities or, if there are many, by child workflows.
func (d *deliver) run(ctx workflow.Context) (contract.DeliverResult, error) {
	var total contract.DeliverResult
	var futures []workflow.Future
	if d.slices.To-d.slices.From <= activitiesPerWorkflow {
		futures = d.startActivities(ctx)
	} else {
		futures = d.startChildren(ctx)
	}
	for _, f := range futures {
		var part contract.DeliverResult
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
		futures = append(futures, workflow.ExecuteChildWorkflow(child, contract.NameDeliverSlices, part))
	}
	return futures
}
