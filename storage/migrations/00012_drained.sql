-- +goose Up
set local lock_timeout = '2s';

-- An event all of whose webhooks are unavailable or paused at the accept has no workflow
-- of its own: its deliveries are parked from the start. This is the webhook whose drain
-- stands for it.
alter table events add column drained_by uuid;

-- A lock of the row says now that something is being parked: see Store.DrainEnds.
alter table drains drop column parked_at;

-- +goose Down
alter table drains add column parked_at timestamptz not null default clock_timestamp();
alter table events drop column drained_by;
