-- +goose Up
set local lock_timeout = '2s';

-- deliveries_waiting (00023) finds all that it did.
drop index deliveries_outstanding;

-- +goose Down
create index deliveries_outstanding on deliveries (webhook_id) where next_attempt_at is not null;
