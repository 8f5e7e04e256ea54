-- +goose Up
set local lock_timeout = '2s';

-- Until when a sweeper has an event to itself, to start its workflow. -infinity: nobody
-- has it. Null: an older version accepted it, whose starter starts an event alone without
-- naming its workflow first, so that nothing but its own workflow may be started for it.
alter table outbox add column claimed_until timestamptz;

-- What one process at a time may do, and until when it may.
create table leases (
    name   text primary key,
    holder uuid not null,
    until  timestamptz not null
);

-- +goose Down
drop table leases;
alter table outbox drop column claimed_until;
