-- +goose Up
set local lock_timeout = '2s';

-- The events that an event comes from, oldest first: their ids, one after the other. Null
-- where its publisher named none, and from older processes.
alter table events add column hops bytea;

-- What requests that make something were answered, under the idempotency keys of their
-- clients, for as long as a key counts.
create table kept_answers (
    tenant_id  uuid not null,
    -- The operation's id: each has keys of its own.
    operation  text not null,
    key        text not null,
    -- The request's digest and the answer, sealed with the three as additional data.
    answer     bytea not null,
    expires_at timestamptz not null,
    primary key (tenant_id, operation, key)
);

create index kept_answers_expiry on kept_answers (expires_at);

-- +goose Down
drop table kept_answers;
alter table events drop column hops;
