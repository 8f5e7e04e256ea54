-- +goose Up
set local lock_timeout = '2s';

-- Whether the answer's body goes on behind what is logged of it, and the length of the
-- whole, in bytes, where it is known; null in what older binaries write.
alter table attempts add column response_truncated boolean, add column response_length bigint;

-- +goose Down
alter table attempts drop column response_truncated, drop column response_length;
