-- +goose Up

-- What is overdue, the longest first, for the reconciler. It reads all deliveries
-- once, while publishing waits.
create index deliveries_due on deliveries (next_attempt_at, id) where next_attempt_at is not null;

-- All events of a workflow, to start it anew.
create index shared_workflows_of_workflow on shared_workflows (workflow_id);

-- The sweeper finds a workflow's events by the index above. Without this one an
-- event in the outbox is given to a workflow in place.
drop index outbox_of_workflow;

-- +goose Down
create index outbox_of_workflow on outbox (workflow_id) where workflow_id is not null;
drop index shared_workflows_of_workflow;
drop index deliveries_due;
