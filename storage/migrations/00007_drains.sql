-- +goose Up
set local lock_timeout = '2s';

-- Deliveries that wait for their webhook, because it is over a limit or its endpoint
-- is unavailable, are parked: no longer their event's workflow's, but the webhook's
-- drain's, until they end.
alter table deliveries add column parked boolean not null default false;

-- What is overdue, the longest first, for the reconciler. It reads all deliveries
-- once, while publishing waits.
create index deliveries_due on deliveries (next_attempt_at, id) where next_attempt_at is not null and not parked;

create index deliveries_parked on deliveries (webhook_id, next_attempt_at) where parked and next_attempt_at is not null;

-- Since when the endpoint has been unavailable: the circuit breaker is open.
alter table webhooks add column tripped_at timestamptz;

-- Webhooks that may have parked deliveries. due_at is when the drain looks again: one
-- that is long past is a drain that got lost.
create table drains (
    webhook_id uuid primary key,
    parked_at  timestamptz not null default clock_timestamp(),
    due_at     timestamptz not null default clock_timestamp()
);

create index drains_due on drains (due_at);

-- +goose Down
drop table drains;
alter table webhooks drop column tripped_at;
drop index deliveries_parked;
drop index deliveries_due;
alter table deliveries drop column parked;
