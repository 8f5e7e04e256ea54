-- +goose Up
set local lock_timeout = '2s';

-- When a drain asks an endpoint that is unavailable next, for readers; null where it has
-- not said, or waits for something else.
alter table drains add column probe_at timestamptz;

-- +goose Down
alter table drains drop column probe_at;
