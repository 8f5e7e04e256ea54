-- +goose Up
set local lock_timeout = '2s';

-- The workflow that an event was given to, once it is decided: an event must not
-- be started by two. Null: nobody has begun to start it.
alter table outbox add column workflow_id text;

create index outbox_of_workflow on outbox (workflow_id) where workflow_id is not null;

-- +goose Down
drop index outbox_of_workflow;
alter table outbox drop column workflow_id;
