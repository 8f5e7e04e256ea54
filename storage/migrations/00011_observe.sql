-- +goose Up
set local lock_timeout = '2s';

-- Webhooks whose circuit breaker is open, to count them.
create index webhooks_tripped on webhooks (tripped_at) where tripped_at is not null;

-- Where in a trace an event was published: W3C's trace id, span id and flags. Null where
-- nothing is traced.
alter table events add column trace bytea;

-- Whether requests carry the trace that they belong to.
alter table webhooks add column trace_context boolean not null default false;

-- +goose Down
alter table events drop column trace;
alter table webhooks drop column trace_context;
drop index webhooks_tripped;
