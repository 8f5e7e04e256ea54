-- +goose Up
set local lock_timeout = '2s';

-- The processes that make first attempts at the commit, each with its last heartbeat. The rows are few and are updated
-- every two seconds: so half of each page is left for the next version of its rows.
create table processes (
    id           uuid primary key,
    heartbeat_at timestamptz not null default now()
) with (fillfactor = 50);

-- The process that makes the event's first attempts. Null: none does, as for all events that older binaries accept.
-- There is no foreign key: a process that is gone has no row, and the owner of a row may be gone.
alter table outbox add column owner uuid;

-- +goose Down
alter table outbox drop column owner;
drop table processes;
