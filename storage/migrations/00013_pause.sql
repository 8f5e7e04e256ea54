-- +goose Up
set local lock_timeout = '2s';

-- Since when the client wants a webhook's deliveries held, and since when no longer.
alter table webhooks add column paused_at timestamptz, add column resumed_at timestamptz;

-- +goose Down
alter table webhooks drop column resumed_at, drop column paused_at;
