-- +goose Up
set local lock_timeout = '2s';

alter table deliveries
    -- The webhook's generation at the accept; null from older processes, and never revoked by it then.
    add column generation   integer,
    -- The id of the attempt that was recorded last, so that it is not recorded again.
    add column last_attempt uuid;

-- +goose Down
alter table deliveries drop column last_attempt, drop column generation;
