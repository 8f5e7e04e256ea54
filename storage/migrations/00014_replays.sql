-- +goose Up
set local lock_timeout = '2s';

-- A replay sends events of the past to a webhook. It looks at them in the order of their
-- ids, and makes deliveries that are parked from the start: the webhook's drain sends them.
create table replays (
    id          uuid primary key,
    tenant_id   uuid not null references tenants,
    webhook_id  uuid not null,
    status      text not null check (status in ('failed', 'missing', 'all')),
    event_types text[] not null,
    since       timestamptz not null,
    until       timestamptz not null,
    rate        integer not null check (rate > 0),
    state       text not null check (state in ('running', 'paused', 'completed', 'canceled')),
    reason      text not null default '',
    cursor      uuid not null,
    looked      bigint not null default 0,
    created     bigint not null default 0,
    -- When its workflow looks again, as drains.due_at is.
    due_at      timestamptz not null default clock_timestamp(),
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    ended_at    timestamptz,
    check ((ended_at is null) = (state in ('running', 'paused')))
);

create unique index replays_under_way on replays (webhook_id) where ended_at is null;
create index replays_list on replays (tenant_id, id desc);
create index replays_due on replays (due_at) where ended_at is null;

alter table deliveries add column replay_id uuid;

-- It reads all deliveries once, while publishing waits.
create index deliveries_of_replay on deliveries (replay_id, state) where replay_id is not null;

-- +goose Down
alter table deliveries drop column replay_id;
drop table replays;
