-- +goose Up
set local lock_timeout = '2s';

-- All events of a workflow, to start it anew.
create index shared_workflows_of_workflow on shared_workflows (workflow_id);

-- The sweeper finds a workflow's events by the index above. Without this one an
-- event in the outbox is given to a workflow in place.
drop index outbox_of_workflow;

-- +goose Down
create index outbox_of_workflow on outbox (workflow_id) where workflow_id is not null;
drop index shared_workflows_of_workflow;
