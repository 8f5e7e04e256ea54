-- +goose Up
set local lock_timeout = '2s';

-- What an event type's data must meet, canonical JSON, and data that does. Processes know
-- a schema by its hash, so that none of them goes by one that was replaced.
alter table event_types
    add column schema bytea check (octet_length(schema) <= 32768),
    add column schema_hash bytea generated always as (sha256(schema)) stored,
    add column example bytea;

-- Whether a tenant has schemas at all: authenticating asks.
create index event_types_with_schema on event_types (tenant_id) where schema_hash is not null;

-- +goose Down
drop index event_types_with_schema;
alter table event_types drop column example, drop column schema_hash, drop column schema;
